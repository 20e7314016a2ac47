// How long loading takes, against reading the same file once and copying as many bytes once, in every runtime that is installed; and how
// much memory it takes at most. The file comes from the page cache: all of it must fit there, beside the model.
//
//   node scripts/run.mjs bench/synthetic.ts --size 1.5B --output build/bench/1.5B.q8_0.gguf
//   node scripts/run.mjs bench/load.ts --model build/bench/1.5B.q8_0.gguf
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { node } from "../scripts/program.ts";
import { programs, type Runtime } from "../test/runtimes/runtimes.ts";
import { median } from "./lib/measure.ts";
import { list, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options({
  model: "build/bench/1.5B.q8_0.gguf",
  runs: "5",
  /** Names with commas; all of them. */
  runtimes: "",
  json: undefined as string | undefined,
});

/** Seconds after which something is wrong. */
const LIMIT = 120;
const PROGRAM = "build/bench/load/program.js";
await build({
  entryPoints: ["bench/load/program.ts"],
  outfile: PROGRAM,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});
const address = pathToFileURL(resolve("dist/index.js")).href;

interface Copied {
  read: number;
  copy: number;
}
interface Loaded {
  load: number;
  how: string;
  memory: number;
  peak: number;
}

const model = resolve(chosen.model);
const MIB = 2 ** 20;
const size = statSync(model).size / MIB;
const wanted = list(chosen.runtimes);
const own: Runtime = {
  name: `Node ${process.versions.node.split(".")[0]}`,
  run: (file, limit, args = []) => node(file, args, limit),
};
const runtimes = [own, ...programs()].filter(({ name }) => wanted.length === 0 || wanted.includes(name));

async function measured<T>({ name, run }: Runtime, ...args: string[]): Promise<T> {
  const { output } = await run(PROGRAM, LIMIT, [model, ...args]);
  const [, json] = /^measured: (.*)$/m.exec(output) ?? [];
  if (!json) throw new Error(`${name} measured nothing:\n${output}`);
  return JSON.parse(json);
}

const report = new Report("Load", chosen.json);
const row = report.table(`${Math.round(size)} MiB, medians of ${chosen.runs} runs`, [
  "runtime",
  "how",
  "read, ms",
  "copy, ms",
  "load, ms",
  "load / (read + copy)",
  "planned, MiB",
  "peak, MiB",
  "peak / file",
]);
for (const runtime of runtimes) {
  const [copied, loaded]: [Copied[], Loaded[]] = [[], []];
  // The first of each may have to bring the file into the cache.
  for (let run = -1; run < Number(chosen.runs); run++) {
    const pair = [await measured<Copied>(runtime), await measured<Loaded>(runtime, address)] as const;
    if (run < 0) continue;
    copied.push(pair[0]);
    loaded.push(pair[1]);
  }
  const [read, copy] = [median(copied.map(({ read }) => read)), median(copied.map(({ copy }) => copy))];
  const load = median(loaded.map(({ load }) => load));
  const ratio = median(loaded.map(({ load }, i) => load / (copied[i].read + copied[i].copy)));
  const peak = Math.max(...loaded.map(({ peak }) => peak));
  const [{ how, memory }] = loaded;
  row(
    runtime.name,
    how,
    ...[read, copy, load].map(Math.round),
    ratio.toFixed(2),
    ...[memory, peak].map(Math.round),
    (peak / size).toFixed(3),
  );
}
report.end();
