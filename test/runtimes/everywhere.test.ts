// The conformance tests once more, in every other runtime: the same files, run against the built package, as Node
// modules in Deno, Bun and other versions of Node, and in pages of browsers, with and without shared memory.
import { readdirSync } from "node:fs";
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { judge, tally } from "../../scripts/test/judge.ts";
import { inBrowsers, runInPage } from "./browsers.ts";
import { programs, type Runtime } from "./runtimes.ts";
import { serve } from "./site.ts";

/** Seconds for one file in one runtime; generous, it only ends what hangs. */
const LIMIT = 120;
const folder = "test/conformance";
const files = readdirSync(folder).filter((name) => name.endsWith(".test.ts"));

/** Bundles the conformance tests for a kind of runtime, with `package` in the place of `rwkv-wasm`. */
async function bundle(outdir: string, entry: string): Promise<void> {
  await build({
    entryPoints: files.map((name) => `${folder}/${name}`),
    outdir,
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    sourcemap: true,
    logLevel: "warning",
    plugins: [
      {
        name: "rwkv-wasm",
        setup: ({ onResolve }) => onResolve({ filter: /^rwkv-wasm$/ }, () => ({ path: entry, external: true })),
      },
    ],
  });
}

/** Runs all files in one runtime; shows what those printed that did not pass. */
async function conform(runtime: Runtime, outdir: string): Promise<void> {
  for (const file of files) {
    const finished = await runtime.run(`${outdir}/${basename(file, ".ts")}.js`, LIMIT);
    const verdict = judge(finished);
    const result = `${file} in ${runtime.name}: ${tally(verdict)}${verdict.reason ? ` (${verdict.reason})` : ""}`;
    // Marked as quoted, so that these summaries are not taken for this file's own.
    if (verdict.failed > 0) console.log(finished.output.replace(/^/gm, "| "));
    assert.is(verdict.failed, 0, result);
    console.log(result);
  }
}

test("there are conformance tests", () => {
  assert.ok(files.length > 0);
});

const installed = "build/everywhere/installed";
await bundle(installed, pathToFileURL(resolve("dist/index.js")).href);
for (const runtime of programs()) test(runtime.name, () => conform(runtime, installed));

const page = "build/everywhere/page";
await bundle(page, "/dist/web.js");
await inBrowsers((browser, kind) => {
  for (const isolated of [true, false]) {
    const name = `${kind}, ${isolated ? "cross-origin isolated" : "not isolated"}`;
    test(name, async () => {
      const site = await serve(isolated);
      try {
        await conform({ name, run: (file, limit) => runInPage(browser, site, file, limit) }, page);
      } finally {
        await site.close();
      }
    });
  }
});

test.run();
