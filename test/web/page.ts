// The page of examples/web, built, served and driven in real browsers.
import { rmSync } from "node:fs";
import type { Page as PuppeteerPage } from "puppeteer-core";
import sirv from "sirv";
import { buildSite } from "../../scripts/web/site.ts";
import type { Browser } from "../runtimes/browsers.ts";
import { ISOLATION, listen, type Site } from "../runtimes/site.ts";

/** Chromium and Firefox are driven by Puppeteer, which can do more than what all browsers have in common. */
export type Page = PuppeteerPage;
export const BROWSERS = ["Chromium", "Firefox"];

/** Builds the page into a folder of this test file's and serves it, with the headers for shared memory or as simple hosts do. */
export async function servePage(name: string, isolated: boolean): Promise<Site> {
  const folder = `build/web-${name}`;
  await buildSite(folder);
  const files = sirv(folder, { dev: true });
  const site = await listen((request, response) => {
    if (isolated) for (const [name, value] of Object.entries(ISOLATION)) response.setHeader(name, value);
    files(request, response);
  });
  return {
    // Only this name counts as a secure origin in all browsers.
    url: site.url.replace("127.0.0.1", "localhost"),
    close: async () => {
      await site.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Opens the page in storage of its own and waits for its model. What is thrown in it, is thrown when the page is closed. */
export async function openPage(browser: Browser, url: string, size: [number, number] = [1280, 800]): Promise<Page> {
  const context = await browser.createBrowserContext();
  const page = (await context.newPage()) as unknown as Page;
  await page.setViewport({ width: size[0], height: size[1] });
  await page.goto(url);
  await ready(page);
  return page;
}

/** Closes a page with its storage. */
export const closePage = (page: Page): Promise<void> => page.browserContext().close();

/** Milliseconds for something to come true; generous, it only ends what hangs. */
const PATIENCE = 300_000;

/** Until an expression is true in the page. */
export async function until(page: Page, expression: string): Promise<void> {
  for (const end = performance.now() + PATIENCE; ; ) {
    // While a page is loaded anew there is nothing to ask.
    if (await page.evaluate(`(async () => Boolean(await (${expression})))()`).catch(() => false)) return;
    if (performance.now() > end)
      throw new Error(`In the page, this never became true: ${expression}; it says: ${await said(page)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const said = async (page: Page) => String(await page.evaluate("document.body.innerText").catch(String)).slice(0, 2000);

export const ready = (page: Page): Promise<void> =>
  until(page, `"ready" in document.querySelector("#model-chip").dataset`);

/** What an element says. */
export const text = async (page: Page, selector: string): Promise<string> =>
  String(await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).textContent`));

/** The story as it stands, without hints. */
export const story = async (page: Page): Promise<string> =>
  String(
    await page.evaluate(`[...document.querySelectorAll("#text > :not(.aside)")].map((x) => x.textContent).join("")`),
  );

/** Sets sliders and the seed, as their owner would with the mouse. */
export async function set(page: Page, values: Record<string, number | string>): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    const id = name === "seed" ? name : `setting-${name}`;
    await page.evaluate(`{
      const input = document.getElementById(${JSON.stringify(id)});
      input.value = ${JSON.stringify(String(value))};
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }`);
  }
}

/** Until nothing is being written. */
export const written = (page: Page): Promise<void> =>
  until(page, `!document.querySelector("#write").hasAttribute("data-busy")`);

/** Gives the page words and waits until it has gone on from them. */
export async function write(page: Page, words: string): Promise<void> {
  await page.evaluate(`document.querySelector("#prompt").value = ${JSON.stringify(words)}`);
  await page.click("#write");
  await written(page);
}

/** Drops a file with this content on the page. */
export async function drop(page: Page, name: string, content: Uint8Array): Promise<void> {
  await page.evaluate(`{
    const bytes = Uint8Array.from(atob(${JSON.stringify(Buffer.from(content).toString("base64"))}), (x) => x.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], ${JSON.stringify(name)}));
    for (const type of ["dragover", "drop"])
      document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
  }`);
}

/** The error that is shown; empty if none is. */
export const error = async (page: Page): Promise<string> =>
  String(
    await page.evaluate(
      `document.querySelector("#error").hidden ? "" : document.querySelector("#error-text").textContent`,
    ),
  );
