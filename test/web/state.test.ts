// What is kept of a text: a state as a file, which Node can take up too, and the text that the browser remembers.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "rwkv-wasm";
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
  ready,
  servePage,
  set,
  story,
  text,
  until,
  write,
} from "./page.ts";

const model = await load("weights/stories-7m.q8_0.gguf");
test.after(() => model.close());
const site = await servePage("state", true);
test.after(() => site.close());
const folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
test.after(() => rmSync(folder, { recursive: true }));

const SETTINGS = { temperature: 0.8, topP: 0.9, maxTokens: 16 };

/** Presses "Save state"; answers the file's name and content. */
async function saved(page: Page): Promise<{ name: string; bytes: Uint8Array }> {
  const [name, base64] = (await page.evaluate(`new Promise((resolve) => {
    const original = URL.createObjectURL;
    const click = HTMLAnchorElement.prototype.click;
    let blob;
    URL.createObjectURL = (given) => original.call(URL, (blob = given));
    HTMLAnchorElement.prototype.click = async function () {
      URL.createObjectURL = original;
      HTMLAnchorElement.prototype.click = click;
      const reader = new FileReader();
      reader.onload = () => resolve([this.download, reader.result.split(",")[1]]);
      reader.readAsDataURL(blob);
    };
    document.querySelector("#save-state").click();
  })`)) as [string, string];
  return { name, bytes: new Uint8Array(Buffer.from(base64, "base64")) };
}

const click = (page: Page, selector: string) => page.evaluate(`document.querySelector("${selector}").click()`);

/** Switches remembering on or off, and waits until that has been done. */
async function remember(page: Page, yes: boolean): Promise<void> {
  await click(page, "#remember");
  await until(page, `document.querySelector("#status").textContent.includes("${yes ? "remembered" : "forgotten"}")`);
}

/** In pages opened from now on, whatever is to be read from or written to the database begins half a second later. */
const slowly = (page: Page) =>
  page.evaluateOnNewDocument(`{
    const open = IDBFactory.prototype.open;
    IDBFactory.prototype.open = function (...names) {
      const request = {};
      setTimeout(() => {
        const real = open.apply(this, names);
        for (const event of ["onupgradeneeded", "onsuccess", "onerror"])
          real[event] = () => {
            request.result = real.result;
            request.error = real.error;
            request[event]?.();
          };
      }, 500);
      return request;
    };
  }`);

/** How many texts the database holds. */
const count = (page: Page) =>
  page.evaluate(`new Promise((resolve, reject) => {
    const opening = indexedDB.open("rwkv-wasm-page", 1);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const counting = opening.result.transaction("texts").objectStore("texts").count();
      counting.onsuccess = () => {
        opening.result.close();
        resolve(counting.result);
      };
    };
  })`);

await inBrowsers((browser, name) => {
  test(`${name}: a state is saved, taken up in Node, and opened in the page again`, async () => {
    const page = await openPage(browser, site.url);
    try {
      assert.is(await page.evaluate(`document.querySelector("#save-state").disabled`), true);
      await set(page, { seed: 1, maxTokens: 16 });
      await write(page, "The little dog");
      const file = await saved(page);
      const session = model.session(file.bytes);
      assert.is(file.name, `text-${session.position}.state`);
      const expected = await session.generate(" One day", { ...SETTINGS, seed: 2 }).text();
      await session.close();

      const path = join(folder, file.name);
      writeFileSync(path, file.bytes);
      const input = await page.$("#state-file");
      await (input as unknown as { uploadFile(path: string): Promise<void> }).uploadFile(path);
      await until(page, `document.querySelector("#text .aside")`);
      assert.match(await text(page, "#text"), /^Goes on from a saved state, after \d+ tokens\.$/);
      await set(page, { seed: 2 });
      await write(page, " One day");
      assert.is(await story(page), ` One day${expected}`);
      // A link would be the end of a text whose beginning nobody knows.
      assert.is(await page.evaluate(`document.querySelector("#link").hidden`), true);

      await click(page, "#new");
      assert.is(await story(page), "");
      await drop(page, file.name, file.bytes);
      await until(page, `document.querySelector("#text .aside")`);
      await write(page, " One day");
      assert.is(await story(page), ` One day${expected}`);

      const other = new Uint8Array(file.bytes);
      other[other.length - 1]! ^= 1;
      await drop(page, file.name, other);
      await until(page, `!document.querySelector("#error").hidden`);
      assert.match(await error(page), /^This is not a usable session state: .*\.$/);
      assert.is(await story(page), ` One day${expected}`);
    } finally {
      await closePage(page);
    }
  });

  test(`${name}: a text is remembered, if that is wanted, and goes on as if nothing had been`, async () => {
    const page = await openPage(browser, site.url);
    const reload = async () => {
      await page.reload();
      await ready(page);
    };
    try {
      await set(page, { seed: 3, maxTokens: 16, temperature: 0.8 });
      await write(page, "One rainy day");
      await reload();
      assert.is(await story(page), "");
      assert.is(await page.evaluate(`document.querySelector("#setting-maxTokens").value`), "16");

      await remember(page, true);
      await set(page, { seed: 3 });
      await write(page, "One rainy day");
      await write(page, "");
      const before = await story(page);
      await reload();
      assert.is(await story(page), before);
      assert.is(await text(page, "#seed-used"), "seed 3");
      // The last passage can still be written in another version, from where it began.
      const session = model.session();
      const first = await session.generate("One rainy day", { ...SETTINGS, seed: 3 }).text();
      const fork = session.fork();
      const second = await session.generate("", { ...SETTINGS, seed: 3 }).text();
      assert.is(before, `One rainy day${first}${second}`);
      await set(page, { seed: 4 });
      await write(page, "");
      const third = await session.generate("", { ...SETTINGS, seed: 4 }).text();
      assert.is(await story(page), before + third);
      await reload();
      assert.is(await story(page), before + third);
      await set(page, { seed: 9 });
      await page.click("#another");
      await until(page, `document.querySelector("#version").textContent === "2 of 2"`);
      const anew = model.session();
      await anew.generate("One rainy day", { ...SETTINGS, seed: 3 }).text();
      await anew.generate("", { ...SETTINGS, seed: 3 }).text();
      assert.is(await story(page), before + (await anew.generate("", { ...SETTINGS, seed: 9 }).text()));
      for (const one of [session, fork, anew]) await one.close();

      await remember(page, false);
      await reload();
      assert.is(await story(page), "");
      await remember(page, true);
      await reload();
      assert.is(await story(page), "");
    } finally {
      await closePage(page);
    }
  });

  test(`${name}: a text is remembered to its last word, and forgotten for good, however slow the database is`, async () => {
    const page = await openPage(browser, site.url);
    try {
      await slowly(page);
      await page.reload();
      await ready(page);
      await remember(page, true);
      await set(page, { seed: 3, maxTokens: 16 });
      for (const words of ["One rainy day", "", ""]) {
        await write(page, words);
        const before = await story(page);
        await page.reload();
        await ready(page);
        assert.is(await story(page), before);
      }
      // What is still being remembered is forgotten too.
      await set(page, { seed: 4 });
      await page.click("#another");
      await until(page, `document.querySelector("#version").textContent === "2 of 2"`);
      await click(page, "#previous");
      await remember(page, false);
      assert.is(await count(page), 0);
      await remember(page, true);
      assert.is(await count(page), 1);
      // A new text begins: the old one is forgotten when one can write.
      await write(page, "");
      await page.evaluate("document.activeElement.blur()");
      await click(page, "#new");
      await until(page, `document.activeElement.id === "prompt"`);
      assert.is(await count(page), 0);
      // Forgotten is what was there when the page was left, too.
      await write(page, "Tom");
      await click(page, "#remember");
      await page.reload();
      await ready(page);
      await remember(page, true);
      assert.is(await count(page), 0);
      assert.is(await story(page), "");
      assert.is(await error(page), "");
    } finally {
      await closePage(page);
    }
  });
}, BROWSERS);

test.run();
