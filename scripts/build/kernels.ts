// assembly/ → dist/kernels/*.wasm: one module per target of asconfig.json, compiled anew only when its sources changed.
import { readFileSync } from "node:fs";
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
    for (const name of queue) {
      const { code, output } = await node("node_modules/assemblyscript/bin/asc.js", ["--target", name]);
      if (code !== 0) throw new Error(`asc --target ${name} failed:\n${output}`);
      if (output) process.stderr.write(output);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return stale;
}
