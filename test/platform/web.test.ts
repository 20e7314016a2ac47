// Files by URL in pages: relative to the page, of its own origin, of others with and without their consent, and what
// only pages have. With the built package.

import { readFileSync } from "node:fs";
import { load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { rangeOf } from "../bytes/server.ts";
import { inBrowsers } from "../runtimes/browsers.ts";
import { listen, type Site, serve } from "../runtimes/site.ts";

const PATH = "test/fixtures/v7.f32.gguf";
const FILE = new Uint8Array(readFileSync(PATH));

const model = await load(PATH, { threads: 0 });
const expected = model.info.fingerprint;
await model.close();

/** A server of another origin. `exposed`: the headers that pages may see; without it, pages get nothing. */
async function other(exposed?: string): Promise<Site & { ranges: (string | undefined)[] }> {
  const ranges: (string | undefined)[] = [];
  const server = await listen((request, response) => {
    // A request that needs leave beforehand gets none: ranges must do without.
    if (request.method !== "GET") return response.writeHead(403).end();
    ranges.push(request.headers.range);
    if (exposed !== undefined) {
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.setHeader("Access-Control-Expose-Headers", exposed);
    }
    if (!request.headers.range) return response.end(FILE);
    const [from, to] = rangeOf(request, FILE.length);
    response.writeHead(206, { "Content-Range": `bytes ${from}-${to - 1}/${FILE.length}`, ETag: '"1"' });
    response.end(FILE.subarray(from, to));
  });
  return { ...server, url: `${server.url}/model.gguf`, ranges };
}

const site = await serve(false);
test.after(() => site.close());

await inBrowsers((browser, name) => {
  /** Loads in a page below /test/: `from` is a URL, or a function there that makes one. Answers the fingerprint, or what was thrown. */
  const inPage = async (from: string, make?: "blob" | "URL"): Promise<string> => {
    const context = await browser.createBrowserContext();
    try {
      const page = await context.newPage();
      await page.goto(`${site.url}/test/fixtures/README.md`);
      const script = `(async () => {
        const { load } = await import("/dist/web.js");
        let from = ${JSON.stringify(from)};
        if (${make === "blob"}) from = URL.createObjectURL(await (await fetch(from)).blob());
        if (${make === "URL"}) from = new URL(from, location.href);
        try {
          const model = await load(from, { threads: 0 });
          await model.close();
          return model.info.fingerprint;
        } catch (error) {
          return error.code + ": " + error.message;
        }
      })()`;
      return (await page.evaluate(script)) as string;
    } finally {
      await context.close();
    }
  };

  test(`${name}: a URL relative to the page, from the site's root, and as an object`, async () => {
    assert.is(await inPage("v7.f32.gguf"), expected);
    assert.is(await inPage(`/${PATH}`), expected);
    assert.is(await inPage("v7.f32.gguf", "URL"), expected);
  });

  test(`${name}: a blob: URL`, async () => assert.is(await inPage("v7.f32.gguf", "blob"), expected));

  test(`${name}: another origin that lets pages see ranges`, async () => {
    const server = await other("Content-Range, ETag");
    try {
      assert.is(await inPage(server.url), expected);
      assert.ok(server.ranges.length > 1 && server.ranges.every((range) => range), `${server.ranges}`);
    } finally {
      await server.close();
    }
  });

  test(`${name}: another origin that hides ranges: the whole file is fetched`, async () => {
    const server = await other("");
    try {
      assert.is(await inPage(server.url), expected);
      // The browser may ask once more of its own accord, to complete what it keeps.
      assert.ok(server.ranges.length <= 3, `${server.ranges}`);
      assert.is(server.ranges.at(-1), undefined);
    } finally {
      await server.close();
    }
  });

  test(`${name}: another origin that pages may not read`, async () => {
    const server = await other();
    try {
      assert.match(await inPage(server.url), /^network: .*\/model\.gguf could not be read.*CORS/);
    } finally {
      await server.close();
    }
  });

  test(`${name}: a page in the place of the weights`, async () => {
    assert.match(await inPage("/page?run=x"), /^weights: .*\/page\?… is a web page, not weights/);
  });
});

test.run();
