// The page for everybody: by keyboard alone, and without anything that axe-core finds, in both themes, wide and narrow.
import { readFileSync } from "node:fs";
import type { AxeResults } from "axe-core";
import { load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inBrowsers } from "../runtimes/browsers.ts";
import { closePage, error, openPage, type Page, servePage, set, story, text, until, write, written } from "./page.ts";

const AXE = readFileSync("node_modules/axe-core/axe.min.js", "utf8");
const site = await servePage("access", true);
test.after(() => site.close());

const WIDE: [number, number] = [1280, 800];
const NARROW: [number, number] = [360, 720];

/** What axe-core finds in the page as it is, each rule with where. */
async function findings(page: Page): Promise<string[]> {
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(AXE);
  const { violations, passes } = (await page.evaluate(`axe.run()`)) as AxeResults;
  assert.ok(passes.length > 20, "axe-core looked at the page");
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** The element that has the focus. */
const focused = async (page: Page): Promise<string> => String(await page.evaluate("document.activeElement?.id"));

/** Presses Tab until an element has the focus; answers the ids on the way. */
async function tabTo(page: Page, id: string, shift = false): Promise<string[]> {
  const passed: string[] = [];
  for (let i = 0; i < 60; i++) {
    if (shift) await page.keyboard.down("Shift");
    await page.keyboard.press("Tab");
    if (shift) await page.keyboard.up("Shift");
    const at = await focused(page);
    if (at === id) return passed;
    passed.push(at);
  }
  throw new Error(`Tab never came to #${id}, but to ${passed.join(", ")}`);
}

await inBrowsers(
  (browser, name) => {
    for (const theme of ["light", "dark"])
      for (const size of [WIDE, NARROW])
        test(`${name}: axe-core finds nothing, ${theme}, ${size[0]} pixels wide`, async () => {
          const page = await openPage(browser, site.url, size);
          try {
            await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
            await until(page, `document.documentElement.dataset.theme === "${theme}"`);
            const states: [string, () => Promise<unknown>][] = [
              ["at first", async () => {}],
              ["with a text", () => set(page, { maxTokens: 16 }).then(() => write(page, ""))],
              ["with versions", () => page.click("#another").then(() => written(page))],
              ["with an error", () => set(page, { seed: "x" }).then(() => page.click("#write"))],
              [
                "with the settings, all of them",
                async () => {
                  if (size === NARROW) await page.click("#settings");
                  await page.evaluate(
                    `for (const details of document.querySelectorAll("details")) details.open = true`,
                  );
                  await until(page, `document.querySelector("#kept li")`);
                },
              ],
            ];
            for (const [state, reach] of states) {
              await reach();
              // What fades in has no contrast at first.
              await until(
                page,
                "document.getAnimations().every((one) => one.playState !== 'running' || one.effect.getTiming().iterations === Infinity)",
              );
              assert.equal(await findings(page), [], state);
              const sideways = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth",
              );
              assert.is(sideways, 0, `${state}: nothing is cut off at the side`);
            }
          } finally {
            await closePage(page);
          }
        });

    test(`${name}: everything by keyboard`, async () => {
      const page = await openPage(browser, site.url, WIDE);
      const model = await load("weights/stories-7m.q8_0.gguf");
      try {
        // The first thing that Tab comes to leads past the others.
        await page.keyboard.press("Tab");
        assert.is(await page.evaluate("document.activeElement.className"), "skip");
        await page.keyboard.press("Enter");
        await page.keyboard.type("The little dog");
        assert.is(await page.evaluate(`document.querySelector("#prompt").value`), "The little dog");

        // A length and a seed.
        await tabTo(page, "setting-maxTokens");
        await page.keyboard.press("Home");
        await page.keyboard.press("ArrowRight");
        assert.is(await page.evaluate(`document.activeElement.getAttribute("aria-valuetext")`), "32 tokens");
        await tabTo(page, "seed");
        await page.keyboard.type("7");

        // Back to the words: Shift and Enter starts a line, Enter writes.
        await tabTo(page, "prompt", true);
        await page.keyboard.press("End");
        await page.keyboard.down("Shift");
        await page.keyboard.press("Enter");
        await page.keyboard.up("Shift");
        assert.is(await page.evaluate(`document.querySelector("#prompt").value`), "The little dog\n");
        await page.keyboard.press("Backspace");
        await page.keyboard.press("Enter");
        await until(page, `!document.querySelector("#tools").hidden`);
        const expected = await model.generate("The little dog", { seed: 7, maxTokens: 32 }).text();
        assert.is(await story(page), `The little dog${expected}`);
        assert.is(await focused(page), "prompt");

        // Another version, and back to the first.
        await tabTo(page, "another", true);
        await page.keyboard.press("Enter");
        await until(page, `document.querySelector("#version").textContent === "2 of 2"`);
        await written(page);
        await tabTo(page, "previous", true);
        await page.keyboard.press(" ");
        await until(page, `document.querySelector("#version").textContent === "1 of 2"`);

        // The theme and the settings, closed and opened.
        await tabTo(page, "theme", true);
        const before = await page.evaluate("document.documentElement.dataset.theme");
        await page.keyboard.press("Enter");
        assert.is.not(await page.evaluate("document.documentElement.dataset.theme"), before);
        await tabTo(page, "settings");
        await page.keyboard.press("Enter");
        assert.is(await page.evaluate(`document.querySelector("#panel").open`), false);
        await page.keyboard.press("Enter");
        assert.is(await page.evaluate(`document.querySelector("#panel").open`), true);
        assert.is(await focused(page), "panel-title");

        // A new text begins where one writes.
        await tabTo(page, "new", true);
        await page.keyboard.press("Enter");
        await until(page, `document.activeElement.id === "prompt"`);
        assert.is(await story(page), "");
        assert.is(await error(page), "");
      } finally {
        await model.close();
        await closePage(page);
      }
    });

    test(`${name}: the sheet keeps the focus, and Escape closes it`, async () => {
      const page = await openPage(browser, site.url, NARROW);
      try {
        await page.focus("#settings");
        await page.keyboard.press("Enter");
        await until(page, `document.querySelector("#panel").matches(":modal")`);
        assert.is(await focused(page), "panel-title");
        for (let i = 0; i < 40; i++) {
          await page.keyboard.press("Tab");
          const inside = await page.evaluate(
            `document.activeElement === document.body || document.querySelector("#panel").contains(document.activeElement)`,
          );
          assert.is(inside, true, await focused(page));
        }
        await page.keyboard.press("Escape");
        assert.is(await page.evaluate(`document.querySelector("#panel").open`), false);
        assert.is(await focused(page), "settings");
        assert.is(await text(page, "#write-label"), "Write");
      } finally {
        await closePage(page);
      }
    });

    test(`${name}: the theme is kept, and nothing moves for those who do not want it`, async () => {
      const page = await openPage(browser, site.url, WIDE);
      try {
        await page.emulateMediaFeatures([
          { name: "prefers-color-scheme", value: "light" },
          { name: "prefers-reduced-motion", value: "reduce" },
        ]);
        await page.click("#theme");
        assert.is(await page.evaluate("document.documentElement.dataset.theme"), "dark");
        assert.is(await page.evaluate(`document.querySelector("#theme").getAttribute("aria-pressed")`), "true");
        await page.reload();
        assert.is(await page.evaluate("document.documentElement.dataset.theme"), "dark");
        await page.emulateMediaFeatures([
          { name: "prefers-color-scheme", value: "dark" },
          { name: "prefers-reduced-motion", value: "reduce" },
        ]);
        await page.click("#theme");
        assert.is(await page.evaluate("document.documentElement.dataset.theme"), "light");
        await until(page, `"ready" in document.querySelector("#model-chip").dataset`);
        await set(page, { maxTokens: 16 });
        await page.evaluate(`new MutationObserver(() => { globalThis.moved = (globalThis.moved ?? 0) + document.getAnimations().length; })
          .observe(document.querySelector("#text"), { childList: true, subtree: true })`);
        await write(page, "");
        assert.is(await page.evaluate("globalThis.moved"), 0);
      } finally {
        await closePage(page);
      }
    });
  },
  // Firefox is not told by its driver what its user prefers.
  ["Chromium"],
);

test.run();
