// Test files that Node runs anyway, once more in Deno, Bun and the other versions of Node.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { judge, tally } from "../../scripts/test/judge.ts";
import { programs } from "./runtimes.ts";

/** Seconds for one file in one runtime; generous, it only ends what hangs. */
const LIMIT = 600;

/**
 * Registers one test per runtime, which runs the files `test/NAME.test.ts`. `rwkv-wasm` is the built package to them. What they print
 * must match `printed`, if given.
 */
export async function rerun(names: readonly string[], printed?: RegExp, runtimes = programs()): Promise<void> {
  const outdir = `build/everywhere/${names[0].replaceAll("/", "-")}`;
  await build({
    entryPoints: names.map((name) => `test/${name}.test.ts`),
    outdir,
    outbase: "test",
    bundle: true,
    platform: "node",
    format: "esm",
    target: "es2022",
    sourcemap: true,
    logLevel: "warning",
    plugins: [
      {
        name: "rwkv-wasm",
        setup: ({ onResolve }) =>
          onResolve({ filter: /^rwkv-wasm$/ }, () => ({
            path: pathToFileURL(resolve("dist/index.js")).href,
            external: true,
          })),
      },
    ],
  });
  for (const runtime of runtimes)
    test(runtime.name, async () => {
      for (const name of names) {
        const finished = await runtime.run(`${outdir}/${name}.test.js`, LIMIT);
        const verdict = judge(finished);
        const result = `${name} in ${runtime.name}: ${tally(verdict)}${verdict.reason ? ` (${verdict.reason})` : ""}`;
        // Marked as quoted, so that these summaries are not taken for this file's own.
        if (verdict.failed > 0) console.log(finished.output.replace(/^/gm, "| "));
        assert.is(verdict.failed, 0, result);
        if (printed) assert.match(finished.output, printed, result);
        console.log(result);
      }
    });
}
