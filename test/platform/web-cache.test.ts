// Downloads that browsers keep: with the built package, in pages and tabs that come and go.
import { readFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { build } from "esbuild";
import type { Page as PuppeteerPage } from "puppeteer-core";
import { load } from "rwkv-wasm";
import sirv from "sirv";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { judge, tally } from "../../scripts/test/judge.ts";
import { rangeOf } from "../bytes/server.ts";
import { type Context, inBrowsers, type Page, runInPage } from "../runtimes/browsers.ts";
import { html, listen, serve } from "../runtimes/site.ts";

const PATH = "weights/stories-7m.q8_0.gguf";
const FILE = new Uint8Array(readFileSync(PATH));
const SIZE = FILE.length;
const BLOCK = 2 << 20;

const model = await load(PATH, { threads: 0 });
const { fingerprint } = model.info;
await model.close();

/** The site, and on it a model's file that is what a test says it is. */
const web = { etag: '"1"', until: SIZE, bytes: 0, requests: 0 };
const files = sirv(".", { dev: true });
const answer: RequestListener = (request, response) => {
  const { pathname } = new URL(request.url!, "http://localhost");
  if (pathname === "/page") return response.setHeader("Content-Type", "text/html").end(html());
  if (pathname !== "/model.gguf") return files(request, response);
  const [from, to] = rangeOf(request, SIZE);
  const end = Math.min(to, web.until);
  web.requests++;
  response.writeHead(206, {
    "Content-Range": `bytes ${from}-${to - 1}/${SIZE}`,
    "Content-Length": to - from,
    ETag: web.etag,
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Range, ETag",
  });
  if (end > from) response.write(FILE.subarray(from, end));
  web.bytes += Math.max(0, end - from);
  // What lies after `until` never comes.
  if (end === to) response.end();
};
const site = await listen(answer);
test.after(() => site.close());
test.before.each(() => void Object.assign(web, { etag: '"1"', until: SIZE, bytes: 0, requests: 0 }));

interface Loaded {
  fingerprint?: string;
  error?: string;
  cache?: { store: string; reused: number; fetched: number; problem?: string };
  warnings: string[];
}

/** Runs statements in a page, with the library at hand. */
async function run<T>(page: Page, statements: string): Promise<T> {
  // As text, since browsers' drivers differ in what becomes of `undefined`.
  const answer = (await page.evaluate(`(async () => {
    const { load, cache, DownloadCache } = await import("/dist/web.js");
    const get = async (url = "/model.gguf", options = {}) => {
      const warnings = [];
      try {
        const model = await load(url, { threads: 0, onWarning: (warning) => void warnings.push(warning), ...options });
        await model.close();
        return { fingerprint: model.info.fingerprint, cache: model.info.cache, warnings };
      } catch (error) {
        return { error: error.code + ": " + error.message, warnings };
      }
    };
    const work = async () => { ${statements} };
    return JSON.stringify((await work()) ?? null);
  })()`)) as string;
  return JSON.parse(answer);
}

await build({
  entryPoints: ["test/platform/stores-in-page.ts"],
  outdir: "build/everywhere/stores",
  bundle: true,
  platform: "browser",
  format: "esm",
  target: "es2022",
  sourcemap: true,
  logLevel: "warning",
});

await inBrowsers((browser, name) => {
  /** What a browser keeps downloads in. */
  const store = name === "WebKit" ? "CacheStorage" : "OPFS";

  const withTabs = async (work: (tab: () => Promise<Page>, context: Context) => Promise<void>): Promise<void> => {
    const context = await browser.createBrowserContext();
    try {
      await work(async () => {
        const page = await context.newPage();
        await page.goto(`${site.url}/page`);
        return page;
      }, context);
    } finally {
      await context.close();
    }
  };

  test(`${name}: each store by itself`, async () => {
    const plain = await serve(false);
    try {
      const finished = await runInPage(browser, plain, "build/everywhere/stores/stores-in-page.js", 600);
      const verdict = judge(finished);
      if (verdict.failed > 0) console.log(finished.output.replace(/^/gm, "| "));
      assert.is(verdict.failed, 0, tally(verdict));
      assert.match(finished.output, store);
      assert.match(finished.output, /CacheStorage/);
    } finally {
      await plain.close();
    }
  });

  test(`${name}: the second time nothing is downloaded; list and delete`, () =>
    withTabs(async (tab) => {
      const first = await run<Loaded>(await tab(), "return get()");
      assert.equal(first, { fingerprint, cache: { store, reused: 0, fetched: SIZE }, warnings: [] });
      const before = web.bytes;
      const page = await tab();
      const second = await run<Loaded>(page, "return get()");
      assert.equal(second, { fingerprint, cache: { store, reused: SIZE, fetched: 0 }, warnings: [] });
      assert.is(web.bytes - before, 1);
      const listed = await run<object[]>(page, "return (await cache.list()).map(({ since, ...rest }) => rest)");
      assert.equal(listed, [{ url: `${site.url}/model.gguf`, size: SIZE, stored: SIZE, etag: '"1"' }]);
      assert.equal(await run(page, 'return [await cache.delete("model.gguf"), await cache.list()]'), [1, []]);
      assert.is((await run<Loaded>(page, "return get()")).cache!.fetched, SIZE);
    }));

  test(`${name}: not if it is not wanted`, () =>
    withTabs(async (tab) => {
      const page = await tab();
      assert.equal(await run(page, 'return get("/model.gguf", { cache: false })'), { fingerprint, warnings: [] });
      assert.equal(await run(page, "return cache.list()"), []);
      const { error } = await run<Loaded>(page, 'return get("/model.gguf", { cache: "folder" })');
      assert.match(error!, /^input: cache must be true, false or a DownloadCache/);
    }));

  test(`${name}: a tab that is closed in mid-download loses nothing that was stored`, () =>
    withTabs(async (tab) => {
      const observer = await tab();
      const page = await tab();
      web.until = SIZE - (1 << 20);
      await run(page, "get(); return 0");
      const stored = async () =>
        (await run<number[]>(observer, "return (await cache.list()).map((one) => one.stored)"))[0] ?? 0;
      while ((await stored()) < 3 * BLOCK) await new Promise((resolve) => setTimeout(resolve, 20));
      await page.close();
      web.until = SIZE;
      const kept = await stored();
      const { cache, ...loaded } = await run<Loaded>(await tab(), "return get()");
      // What the tab had handed over may have been stored after it was gone.
      const more = cache!.reused - kept;
      assert.ok(more >= 0 && more % BLOCK === 0, `${cache!.reused} bytes, ${kept} were there`);
      assert.equal(cache, { store, reused: kept + more, fetched: SIZE - kept - more });
      assert.is(loaded.fingerprint, fingerprint);
    }));

  test(`${name}: tabs that load the same file at once`, () =>
    withTabs(async (tab) => {
      const pages = [await tab(), await tab(), await tab()];
      for (const { fingerprint: own } of await Promise.all(pages.map((page) => run<Loaded>(page, "return get()"))))
        assert.is(own, fingerprint);
      const after = await run<Loaded>(pages[0], "return get()");
      assert.equal(after, { fingerprint, cache: { store, reused: SIZE, fetched: 0 }, warnings: [] });
    }));

  test(`${name}: what was damaged comes again`, () =>
    withTabs(async (tab) => {
      const page = await tab();
      await run(page, "return get()");
      await run(
        page,
        `const store = await cache.store();
        const [entry] = await store.entries();
        const bytes = await store.read(entry, "1");
        bytes[12345] ^= 1;
        await store.write(entry, "1", bytes);
        await store.write(entry, "2", bytes.slice(0, 100));`,
      );
      const mended = await run<Loaded>(page, "return get()");
      assert.equal(mended.cache, { store, reused: SIZE - 2 * BLOCK, fetched: 2 * BLOCK });
      assert.is(mended.fingerprint, fingerprint);
      assert.is((await run<Loaded>(page, "return get()")).cache!.fetched, 0);
    }));

  test(`${name}: a file that has changed is downloaded anew, and the old one deleted`, () =>
    withTabs(async (tab) => {
      const page = await tab();
      await run(page, "return get()");
      web.etag = '"2"';
      assert.is((await run<Loaded>(page, "return get()")).cache!.fetched, SIZE);
      assert.equal(await run(page, "return (await cache.list()).map(({ etag }) => etag)"), ['"2"']);
    }));

  test(`${name}: without a network`, () =>
    withTabs(async (tab) => {
      const page = await tab();
      const elsewhere = await listen(answer);
      const url = `${elsewhere.url}/model.gguf`;
      assert.is((await run<Loaded>(page, `return get("${url}")`)).cache!.fetched, SIZE);
      await elsewhere.close();
      const loaded = await run<Loaded>(page, `return get("${url}")`);
      assert.equal(loaded.cache, { store, reused: SIZE, fetched: 0 });
      assert.is(loaded.fingerprint, fingerprint);
      assert.match(loaded.warnings[0], /cannot be asked whether it has changed; what was kept of it is used/);
    }));

  test(`${name}: without room, loading goes on, and it is said`, () =>
    withTabs(async (tab) => {
      const page = await tab();
      await run(
        page,
        `const full = async () => { throw new DOMException("the disk is full", "QuotaExceededError") };
        if (globalThis.FileSystemWritableFileStream) FileSystemWritableFileStream.prototype.close = full;
        Cache.prototype.put = full;`,
      );
      const loaded = await run<Loaded>(page, "return get()");
      assert.equal(loaded.cache, { store, reused: 0, fetched: SIZE, problem: "full" });
      assert.is(loaded.fingerprint, fingerprint);
      assert.equal(loaded.warnings.length, 1);
      assert.match(loaded.warnings[0], new RegExp(`^Not everything is kept for the next time: ${store} has no room`));
      if (name === "WebKit") return;
      // Where the browser says beforehand how much there is, a file that is larger is not begun.
      const other = await tab();
      await run(other, "navigator.storage.estimate = async () => ({ quota: 5_000_000, usage: 1_000_000 })");
      const { cache, warnings } = await run<Loaded>(other, "return get()");
      assert.is(cache!.problem, "full");
      assert.match(warnings[0], /4000000 bytes are left, \d+ are needed/);
      assert.equal(await run(other, "return cache.list()"), []);
    }));

  if (name === "Chromium")
    test(`${name}: a quota that is used up in mid-download`, () =>
      withTabs(async (tab) => {
        const page = await tab();
        const session = await (page as PuppeteerPage).createCDPSession();
        await session.send("Storage.overrideQuotaForOrigin", { origin: site.url, quotaSize: 3 * BLOCK });
        await run(page, "navigator.storage.estimate = async () => ({})");
        const loaded = await run<Loaded>(page, "return get()");
        assert.is(loaded.fingerprint, fingerprint);
        assert.equal(loaded.cache, { store, reused: 0, fetched: SIZE, problem: "full" });
        // What fitted is used, and the rest found again when there is room.
        await session.send("Storage.overrideQuotaForOrigin", { origin: site.url });
        const again = await run<Loaded>(page, "return get()");
        assert.is(again.cache!.problem, undefined);
        assert.ok(again.cache!.reused >= BLOCK, `${again.cache!.reused}`);
        assert.is((await run<Loaded>(page, "return get()")).cache!.fetched, 0);
      }));

  test(`${name}: where files cannot be written, in CacheStorage; where there is neither, in memory`, () =>
    withTabs(async (tab) => {
      const page = await tab();
      await run(page, "delete globalThis.FileSystemFileHandle?.prototype.createWritable");
      assert.equal((await run<Loaded>(page, "return get()")).cache, {
        store: "CacheStorage",
        reused: 0,
        fetched: SIZE,
      });
      assert.equal((await run<Loaded>(page, "return get()")).cache, {
        store: "CacheStorage",
        reused: SIZE,
        fetched: 0,
      });
      const other = await tab();
      await run(
        other,
        `delete globalThis.FileSystemFileHandle?.prototype.createWritable;
        Object.defineProperty(globalThis, "caches", { value: undefined });`,
      );
      assert.equal((await run<Loaded>(other, "return get()")).cache, { store: "memory", reused: 0, fetched: SIZE });
      assert.equal((await run<Loaded>(other, "return get()")).cache, { store: "memory", reused: SIZE, fetched: 0 });
    }));

  test(`${name}: a store of the page's own`, () =>
    withTabs(async (tab) => {
      const used = await run<string[]>(
        await tab(),
        `const files = new Map();
        const own = new DownloadCache({
          name: "mine",
          entries: async () => [...new Set([...files.keys()].map((key) => key.split("/")[0]))],
          files: async () => new Map(),
          read: async (entry, file) => files.get(entry + "/" + file)?.slice(),
          write: async (entry, file, bytes) => void files.set(entry + "/" + file, bytes.slice()),
          delete: async () => {},
        });
        return [(await get("/model.gguf", { cache: own })).cache, (await get("/model.gguf", { cache: own })).cache];`,
      );
      assert.equal(used, [
        { store: "mine", reused: 0, fetched: SIZE },
        { store: "mine", reused: SIZE, fetched: 0 },
      ]);
    }));
});

test.run();
