// Opening files and downloads in the other runtimes, which have `fetch`, streams and Node's modules of their own.
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { judge, tally } from "../../scripts/test/judge.ts";
import { programs } from "../runtimes/runtimes.ts";

/** Seconds for one file in one runtime; generous, it only ends what hangs. */
const LIMIT = 120;
const files = ["bytes/http", "bytes/stream", "platform/files", "platform/load"];
const outdir = "build/everywhere/sources";

await build({
  entryPoints: files.map((name) => `test/${name}.test.ts`),
  outdir,
  entryNames: "[name]",
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

for (const runtime of programs())
  test(runtime.name, async () => {
    for (const file of files) {
      const finished = await runtime.run(`${outdir}/${basename(file)}.test.js`, LIMIT);
      const verdict = judge(finished);
      const result = `${file} in ${runtime.name}: ${tally(verdict)}${verdict.reason ? ` (${verdict.reason})` : ""}`;
      // Marked as quoted, so that these summaries are not taken for this file's own.
      if (verdict.failed > 0) console.log(finished.output.replace(/^/gm, "| "));
      assert.is(verdict.failed, 0, result);
      console.log(result);
    }
  });

test.run();
