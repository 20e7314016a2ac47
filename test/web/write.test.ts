// The page writes: the same text as the library in Node, stopped and gone on with, in versions, from links, with other models.
import { readFileSync } from "node:fs";
import { type GenerateOptions, load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inBrowsers } from "../runtimes/browsers.ts";
import {
  BROWSERS,
  closePage,
  drop,
  error,
  openPage,
  type Page,
  servePage,
  set,
  story,
  text,
  until,
  write,
  written,
} from "./page.ts";

const model = await load("weights/stories-7m.q8_0.gguf");
test.after(() => model.close());
const site = await servePage("write", true);
test.after(() => site.close());

/** What the page's sliders say at first. */
const SETTINGS = { temperature: 0.8, topP: 0.9 };
const tell = async (prompt: string, options: GenerateOptions) =>
  prompt + (await model.generate(prompt, { ...SETTINGS, ...options }).text());

await inBrowsers((browser, name) => {
  const on = (what: string, work: (page: Page) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const page = await openPage(browser, site.url);
      try {
        await work(page);
      } finally {
        await closePage(page);
      }
    });

  on("tells what the model is, and that it has threads", async (page) => {
    const facts = await text(page, "#facts");
    for (const fact of ["stories-7m", "RWKV-7", "7.3 million", "shared memory", "-threads"]) assert.match(facts, fact);
    assert.is(await error(page), "");
  });

  on("the same seed gives the same text as in Node", async (page) => {
    await set(page, { seed: 7, maxTokens: 64 });
    await write(page, "The little dog");
    assert.is(await story(page), await tell("The little dog", { seed: 7, maxTokens: 64 }));
    assert.match(await text(page, "#count"), /^64 tokens · \d+ per second$/);
    assert.is(await text(page, "#seed-used"), "seed 7");
    // To screen readers it is said when it is complete.
    assert.match(await text(page, "#status"), (await story(page)).slice("The little dog".length));
  });

  on("all sliders reach the model", async (page) => {
    const settings = {
      temperature: 1.1,
      topP: 0.95,
      maxTokens: 48,
      topK: 40,
      repetitionPenalty: 1.2,
      presencePenalty: 0.3,
      frequencyPenalty: 0.4,
    };
    await set(page, { ...settings, seed: 12345678901234567890n.toString() });
    await write(page, "Once upon a time");
    assert.is(await story(page), await tell("Once upon a time", { ...settings, seed: 12345678901234567890n }));
  });

  on("goes on, with and without words, as a session in Node does", async (page) => {
    await set(page, { seed: 3, maxTokens: 32 });
    await write(page, "");
    await write(page, "");
    await write(page, "Suddenly, it rained.");
    const session = model.session();
    let expected = "";
    for (const prompt of ["Once upon a time", "", " Suddenly, it rained."])
      expected += prompt + (await session.generate(prompt, { ...SETTINGS, seed: 3, maxTokens: 32 }).text());
    await session.close();
    assert.is(await story(page), expected);
  });

  on("stops where it is, and goes on from there", async (page) => {
    // As hot as this a text hardly ends by itself.
    const settings = { temperature: 2, topP: 1, maxTokens: 2048 };
    await set(page, { ...settings, seed: 1 });
    await page.evaluate(`new MutationObserver((_, observer) => {
      if (!document.querySelector(".writing .new")) return;
      observer.disconnect();
      dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    }).observe(document.querySelector("#text"), { childList: true, subtree: true })`);
    await write(page, "The cat");
    const tokens = Number.parseInt((await text(page, "#count")).replace(",", ""), 10);
    assert.ok(tokens >= 1 && tokens < 2048, `${tokens} tokens`);
    const stopped = await story(page);
    const session = model.session();
    const first = await session.generate("The cat", { ...settings, seed: 1, maxTokens: tokens }).text();
    assert.is(stopped, `The cat${first}`);
    await set(page, { maxTokens: 16, seed: 2 });
    await write(page, "");
    const second = await session.generate([], { ...settings, seed: 2, maxTokens: 16 }).text();
    await session.close();
    assert.is(await story(page), stopped + second);
  });

  on("stopped before the first word, nothing is lost", async (page) => {
    await page.evaluate(`{
      document.querySelector("#prompt").value = "My own words";
      document.querySelector("#composer").requestSubmit();
      dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    }`);
    await written(page);
    assert.is(await story(page), "");
    assert.is(await page.evaluate(`document.querySelector("#prompt").value`), "My own words");
    assert.is(await error(page), "");
  });

  on("other versions of a passage, each of which can be gone on with", async (page) => {
    await set(page, { seed: 1, maxTokens: 16 });
    await write(page, "One day");
    await set(page, { seed: 2 });
    await page.click("#another");
    await written(page);
    const second = await tell("One day", { seed: 2, maxTokens: 16 });
    assert.is(await story(page), second);
    assert.is(await text(page, "#version"), "2 of 2");
    await page.click("#previous");
    const first = await tell("One day", { seed: 1, maxTokens: 16 });
    await until(page, `document.querySelector("#version").textContent === "1 of 2"`);
    assert.is(await story(page), first);
    // The same seed again would be no other version.
    await set(page, { seed: 1 });
    await page.click("#another");
    await written(page);
    assert.not.match(await text(page, "#seed-used"), /^seed [12]$/);
    await page.click("#previous");
    await until(page, `document.querySelector("#version").textContent === "2 of 3"`);
    await write(page, "");
    const session = model.session();
    await session.generate("One day", { ...SETTINGS, seed: 2, maxTokens: 16 }).text();
    const more = await session.generate("", { ...SETTINGS, seed: 1, maxTokens: 16 }).text();
    await session.close();
    assert.is(await story(page), second + more);
  });

  on("a link writes the text again", async (page) => {
    await page.evaluate(`navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }`);
    await set(page, { maxTokens: 24, temperature: 1 });
    await write(page, "Ben’s “dog”");
    await set(page, { topK: 20 });
    await write(page, "and the 犬");
    await page.click("#link");
    await until(page, "globalThis.copied");
    const link = String(await page.evaluate("copied"));
    const original = await story(page);
    const other = await openPage(browser, link);
    try {
      await until(other, `document.querySelectorAll("#text > .yours").length === 2`);
      await written(other);
      assert.is(await story(other), original);
      for (const hash of [
        "#text=broken",
        `#text=${btoa('["other",["a","1",1,1,1,1,1,1,1]]')}`,
        `#text=${btoa('["x",[1]]')}`,
      ]) {
        await other.evaluate(`document.querySelector("#error").hidden = true; location.hash = ${JSON.stringify(hash)}`);
        await until(other, `!document.querySelector("#error").hidden`);
        assert.match(
          await error(other),
          /^(The text in this page's address is damaged|This link leads to another model).*\.$/,
        );
        assert.is(await story(other), original);
      }
    } finally {
      await closePage(other);
    }
  });

  on("a model that is dropped, and the way back", async (page) => {
    await drop(page, "v7.f16.gguf", readFileSync("test/fixtures/v7.f16.gguf"));
    await until(
      page,
      `document.querySelector("#facts").textContent.includes("407.7") || document.querySelector("#facts").textContent.includes("0.4 million")`,
    );
    await set(page, { seed: 5, maxTokens: 16 });
    await write(page, "abc");
    const fixture = await load("test/fixtures/v7.f16.gguf");
    assert.is(await story(page), `abc${await fixture.generate("abc", { ...SETTINGS, seed: 5, maxTokens: 16 }).text()}`);
    await fixture.close();
    await page.evaluate(`document.querySelector("#open-shipped").click()`);
    await until(page, `document.querySelector("#model-name").textContent === "stories-7m"`);
    assert.is(await story(page), "");
  });

  on("a model from an address", async (page) => {
    await page.evaluate(`{
      document.querySelector("#address").value = new URL("rwkv-wasm/weights/stories-7m.q8_0.gguf", location).href;
      document.querySelector("#address-form").requestSubmit();
    }`);
    await until(
      page,
      `!document.querySelector("#open-shipped").hidden && "ready" in document.querySelector("#model-chip").dataset`,
    );
    await set(page, { seed: 7, maxTokens: 16 });
    await write(page, "The little dog");
    assert.is(await story(page), await tell("The little dog", { seed: 7, maxTokens: 16 }));
  });

  on("what goes wrong is said in a sentence, and the text stays", async (page) => {
    await set(page, { seed: 1, maxTokens: 16 });
    await write(page, "One day");
    const before = await story(page);
    const wrong: [what: () => Promise<unknown>, message: RegExp][] = [
      [() => drop(page, "holiday.jpg", new TextEncoder().encode("not a model at all, whatever it is")), /holiday\.jpg/],
      [() => drop(page, "bad.state", new TextEncoder().encode("RWKVSTA2 and nothing more")), /state/],
      [
        () =>
          page.evaluate(`{
            document.querySelector("#address").value = new URL("none.gguf", location).href;
            document.querySelector("#address-form").requestSubmit();
          }`),
        /none\.gguf.*404/,
      ],
      [
        async () => {
          await set(page, { seed: "minus one" });
          await page.click("#write");
        },
        /^A seed is a whole number from 0 to 18446744073709551615, not "minus one"\.$/,
      ],
    ];
    for (const [act, message] of wrong) {
      await page.evaluate(`document.querySelector("#error").hidden = true`);
      await act();
      await until(page, `!document.querySelector("#error").hidden`);
      assert.match(await error(page), message);
      assert.match(await error(page), /^[^\n]+[.!?]$/);
      await until(page, `"ready" in document.querySelector("#model-chip").dataset`);
      assert.is(await story(page), before);
    }
    await set(page, { seed: "" });
    await write(page, "");
    assert.ok((await story(page)).length > before.length);
  });
}, BROWSERS);

test.run();
