// assembly/ → dist/kernels/*.wasm: one module per target of asconfig.json, compiled anew only when its sources changed.
import { readFileSync, utimesSync } from "node:fs";
import { availableParallelism } from "node:os";
import { newest } from "../newest.mjs";
import { node } from "../program.ts";

interface Config {
  targets: Record<string, { outFile: string }>;
}

/** Compiles what is out of date, as many at a time as there are cores. Returns the names of the targets compiled. */
export async function buildKernels(): Promise<string[]> {
  const { targets } = JSON.parse(readFileSync("asconfig.json", "utf8")) as Config;
  const sources = newest(["assembly", "asconfig.json"]);
  const stale = Object.keys(targets).filter((name) => newest([targets[name].outFile]) < sources);
  const queue = stale.values();
  const lane = async () => {
    for (const name of queue) await compile(name, targets[name].outFile);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return stale;
}

async function compile(target: string, outFile: string): Promise<void> {
  const started = new Date();
  const asc = [`assembly/${target.startsWith("lab-") ? "lab" : "index"}.ts`, "--target", target];
  const { code, output } = await node("node_modules/assemblyscript/bin/asc.js", asc);
  // Given nothing to compile, asc explains its options and ends with 0.
  const written = newest([outFile]) >= started.getTime();
  if (code !== 0 || !written) throw new Error(`asc ${asc.join(" ")} failed:\n${output}`);
  process.stderr.write(output);
  // A source that changed while this was compiled must count as younger than the outcome.
  utimesSync(outFile, started, started);
}
