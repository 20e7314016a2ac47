// The page on a host that sends no headers, then without any host: the service worker adds the headers and keeps the page, the library
// keeps the model.
import { appendFileSync } from "node:fs";
import type { Browser as PuppeteerBrowser } from "puppeteer-core";
import { load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inBrowsers } from "../runtimes/browsers.ts";
import {
  BROWSERS,
  closePage,
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
const expected = `Once upon a time${await model.generate("Once upon a time", { seed: 7, maxTokens: 32 }).text()}`;

await inBrowsers((browser, name) => {
  if (name === "Chromium")
    test("the page can be installed as an app", async () => {
      const site = await servePage("install", true);
      // Nothing is installed in windows whose storage ends with them: the browser's own context is asked.
      const page = (await (browser as unknown as PuppeteerBrowser).newPage()) as unknown as Page;
      try {
        await page.goto(site.url);
        await until(page, `!document.querySelector("#offline").hidden`);
        const devtools = await page.createCDPSession();
        assert.equal(await devtools.send("Page.getInstallabilityErrors"), { installabilityErrors: [] });
        const { errors, data } = await devtools.send("Page.getAppManifest");
        assert.equal(errors, []);
        for (const { src, sizes, type } of JSON.parse(data ?? "").icons) {
          const response = await fetch(new URL(src, site.url));
          assert.is(response.headers.get("Content-Type"), type);
          const size = sizes === "any" ? 100 : Number.parseInt(sizes, 10);
          const drawn = await page.evaluate(`(async () => {
            const image = new Image(${sizes === "any" ? "100, 100" : ""});
            image.src = ${JSON.stringify(src)};
            await image.decode();
            return [image.width, image.height];
          })()`);
          assert.equal(drawn, [size, size], src);
        }
      } finally {
        await page.close();
        await site.close();
      }
    });

  test(`${name}: once opened, the page needs no network, and has threads all the same`, async () => {
    const site = await servePage(`offline-${name}`, false);
    const page = await openPage(browser, site.url);
    try {
      // The first visit was loaded twice, the second time with the headers.
      await until(page, "crossOriginIsolated");
      await ready(page);
      assert.match(await text(page, "#facts"), "shared memory");
      await until(page, `!document.querySelector("#offline").hidden`);
      await site.close();
      await page.reload();
      await ready(page);
      assert.is(await page.evaluate("crossOriginIsolated"), true);
      assert.is(await error(page), "");
      await set(page, { seed: 7, maxTokens: 32 });
      await write(page, "");
      assert.is(await story(page), expected);
      assert.match(await text(page, "#facts"), "shared memory");
    } finally {
      await closePage(page);
    }
  });

  test(`${name}: a newer version of the page waits until it is wanted`, async () => {
    const site = await servePage(`update-${name}`, true);
    const page = await openPage(browser, site.url);
    try {
      await until(page, `!document.querySelector("#offline").hidden`);
      appendFileSync(`build/web-update-${name}/service-worker.js`, "// newer");
      await page.evaluate("(async () => void (await (await navigator.serviceWorker.getRegistration()).update()))()");
      await until(page, `!document.querySelector("#update").hidden`);
      await page.evaluate("globalThis.before = true");
      await set(page, { seed: 7, maxTokens: 32 });
      await write(page, "");
      assert.is(await story(page), expected);
      await page.click("#update-now");
      await until(page, "!globalThis.before");
      await ready(page);
      assert.is(await page.evaluate(`document.querySelector("#update").hidden`), true);
      await write(page, "");
      assert.ok((await story(page)).length > "Once upon a time".length);
    } finally {
      await closePage(page);
      await site.close();
    }
  });

  test(`${name}: without service workers and headers, the page writes in one worker`, async () => {
    const site = await servePage(`plain-${name}`, false);
    const context = await browser.createBrowserContext();
    const page = (await context.newPage()) as unknown as Page;
    try {
      await page.evaluateOnNewDocument(`delete Navigator.prototype.serviceWorker`);
      await page.goto(site.url);
      await ready(page);
      assert.is(await page.evaluate("crossOriginIsolated"), false);
      assert.match(await text(page, "#facts"), "one worker");
      await set(page, { seed: 7, maxTokens: 32 });
      await write(page, "");
      assert.is(await story(page), expected);
    } finally {
      await closePage(page);
      await site.close();
    }
  });

  test(`${name}: without a network from the first, it says so and can be told to try again`, async () => {
    const site = await servePage(`retry-${name}`, true);
    const context = await browser.createBrowserContext();
    const page = (await context.newPage()) as unknown as Page;
    try {
      await page.evaluateOnNewDocument(`{
        const original = fetch;
        globalThis.fetch = (input, options) =>
          globalThis.back || !String(input.url ?? input).includes(".gguf") ? original(input, options) : Promise.reject(new TypeError("no network"));
      }`);
      await page.goto(site.url);
      await until(page, `!document.querySelector("#retry").hidden && !document.querySelector("#error").hidden`);
      assert.match(await error(page), /^http.*stories-7m\.q8_0\.gguf could not be read: .*[.?]$/);
      assert.is(await page.evaluate(`document.querySelector("#write").disabled`), true);
      await page.evaluate("globalThis.back = true");
      await page.click("#retry");
      await ready(page);
      assert.is(await error(page), "");
    } finally {
      await closePage(page);
      await site.close();
    }
  });
}, BROWSERS);

test.run();
