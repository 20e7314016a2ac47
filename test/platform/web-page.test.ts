// What a page may rely on: that it computes nothing itself, that closing a model gives its memory back, and that all of it works in a
// worker of the page's own.
import { readdirSync, readFileSync } from "node:fs";
import { load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inBrowsers, type Page } from "../runtimes/browsers.ts";
import { type Site, serve } from "../runtimes/site.ts";

const MODEL = "/test/fixtures/v7.f32.gguf";

const model = await load(`.${MODEL}`, { threads: 0 });
const tokens: number[] = [];
for await (const { token } of model.generate([1, 2, 3], { maxTokens: 20, temperature: 0 })) tokens.push(token);
const expected = { tokens, logits: (await model.forward([1, 2, 3])).length };
await model.close();

/** Everything a page does with a model, as a function's body. */
const WORK = (options: object) => `
  const { load } = await import("/dist/web.js");
  const model = await load(${JSON.stringify(MODEL)}, ${JSON.stringify(options)});
  const tokens = [];
  for await (const { token } of model.generate([1, 2, 3], { maxTokens: 20, temperature: 0 })) tokens.push(token);
  const session = model.session();
  await session.feed([1, 2, 3]);
  await session.save();
  const logits = (await model.forward([1, 2, 3])).length;
  const { mode, cache } = model.info;
  await model.close();
  return JSON.stringify({ mode, cache: cache.store, outcome: { tokens, logits } });`;

/** Memory of this program and all that it started, in MB; what several share is counted once. */
function memory(): number {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const facts = read(`/proc/${name}/stat`);
    // The program's name, in brackets, may hold anything.
    const parent = Number(facts.slice(facts.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const sum = (process: number): number => {
    const own = Number(/^Pss: +(\d+) kB/m.exec(read(`/proc/${process}/smaps_rollup`))?.[1] ?? 0) / 1000;
    return (children.get(process) ?? []).reduce((total, child) => total + sum(child), own);
  };
  return sum(process.pid);
}

/** Processes may end while they are looked at. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const sites: [isolated: boolean, site: Site][] = [
  [true, await serve(true)],
  [false, await serve(false)],
];
for (const [, site] of sites) test.after(() => site.close());

await inBrowsers((browser, name) => {
  for (const [isolated, site] of sites) {
    const mode = isolated && name !== "WebKit" ? "team" : "worker";
    const store = name === "WebKit" ? "CacheStorage" : "OPFS";
    const where = `${name}, ${isolated ? "isolated" : "not isolated"}`;

    const inPage = async (work: (page: Page) => Promise<void>): Promise<void> => {
      const context = await browser.createBrowserContext();
      try {
        const page = await context.newPage();
        await page.goto(`${site.url}/page`);
        await work(page);
      } finally {
        await context.close();
      }
    };

    test(`${where}: kernels never run in the page`, () =>
      inPage(async (page) => {
        // Counts each instance that is made, and each wait; without one nothing can be computed.
        await page.evaluate(`(() => {
          globalThis.used = 0;
          for (const [object, key] of [[WebAssembly, "Instance"], [WebAssembly, "instantiate"], [WebAssembly, "instantiateStreaming"], [Atomics, "wait"]]) {
            const original = object[key];
            object[key] = function (...values) {
              used++;
              return new.target ? new original(...values) : original.apply(this, values);
            };
          }
        })()`);
        for (const threads of [1, "auto"]) {
          const answer = JSON.parse((await page.evaluate(`(async () => {${WORK({ threads })}})()`)) as string);
          assert.equal(answer, { mode, cache: store, outcome: expected });
          assert.is(await page.evaluate("used"), 0);
        }
        // So it would have been seen.
        await page.evaluate(`(async () => {${WORK({ threads: 0 })}})()`);
        assert.ok(((await page.evaluate("used")) as number) > 0);
      }));

    test(`${where}: in a worker of the page's own`, () =>
      inPage(async (page) => {
        const script = `
          const work = async () => {${WORK({})}};
          work().then(postMessage, (error) => postMessage(String(error)));`;
        const answer = (await page.evaluate(`new Promise((resolve, reject) => {
          const code = new Blob([${JSON.stringify(script)}.replaceAll('"/', '"' + location.origin + "/")], { type: "text/javascript" });
          const worker = new Worker(URL.createObjectURL(code), { type: "module" });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = (event) => reject(new Error(event.message));
        })`)) as string;
        assert.equal(JSON.parse(answer), { mode, cache: store, outcome: expected });
      }));

    if (process.platform === "linux")
      test(`${where}: closing a model gives its memory back`, () =>
        inPage(async (page) => {
          const loads = (count: number) =>
            page.evaluate(`(async () => {
              const { load } = await import("/dist/web.js");
              globalThis.bytes ??= await (await fetch("/test/fixtures/stories-7m.f16.gguf")).arrayBuffer();
              for (let i = 0; i < ${count}; i++) {
                const model = await load(bytes, { threads: 2, weights: "f32" });
                globalThis.each = model.info.memory / 1e6;
                await model.close();
              }
              return each;
            })()`);
          const each = (await loads(3)) as number;
          const before = memory();
          await loads(25);
          // Workers that were ended go when the browser has time for it.
          let more = memory() - before;
          for (let waited = 0; more >= 10 * each && waited < 300; waited++) {
            await new Promise((resolve) => setTimeout(resolve, 200));
            more = memory() - before;
          }
          console.log(`${where}: 25 models of ${each.toFixed(0)} MB, one after the other: ${more.toFixed(0)} MB more`);
          assert.ok(more < 10 * each, `${more} MB more`);
        }));
  }
});

test.run();
