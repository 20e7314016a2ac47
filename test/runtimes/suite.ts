// The suite that runs in every runtime, from the packed package: the conformance tests, and those of the public API that need
// nothing of Node. The same files run in this Node as tests of their own.
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import * as assert from "uvu/assert";
import { judge, tally } from "../../scripts/test/judge.ts";
import { scan } from "../rules/scan.ts";
import type { Runtime } from "./runtimes.ts";

/** Seconds for one file in one runtime; generous, it only ends what hangs. */
const LIMIT = 900;
/** Properties are tried often in this Node; elsewhere a few tries find what is different there. */
export const RUNS = 2;

const portable = (path: string) => !scan(path).imports.some(({ text }) => /^node:|\/(engine|scripts)\//.test(text));

/** Paths of the files below test/, without `.test.ts`. */
export const names: readonly string[] = ["conformance", "api"].flatMap((folder) =>
  readdirSync(`test/${folder}`)
    .filter((name) => name.endsWith(".test.ts") && portable(`test/${folder}/${name}`))
    .map((name) => `${folder}/${basename(name, ".test.ts")}`),
);

/** Runs all files, bundled into `outdir`, in one runtime; shows what those printed that did not pass. */
export async function conform({ name: runtime, run }: Runtime, outdir: string): Promise<void> {
  const failed: string[] = [];
  for (const name of names) {
    const finished = await run(`${outdir}/${name.replaceAll("/", "-")}.js`, LIMIT);
    const verdict = judge(finished);
    const reason = verdict.reason ? ` (${verdict.reason})` : "";
    const result = `${name} in ${runtime}: ${tally(verdict)}${reason}, ${finished.seconds.toFixed(1)} s`;
    // Marked as quoted, so that these summaries are not taken for this file's own.
    if (verdict.failed > 0) console.log(finished.output.replace(/^/gm, "| "));
    if (verdict.failed > 0) failed.push(result);
    console.log(result);
  }
  assert.equal(failed, []);
}
