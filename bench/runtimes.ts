// The same program in every runtime that is installed, one after another: how long a user waits for the first token, and tokens per
// second, as shares of what Node 24 does.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { node } from "../scripts/program.ts";
import { startExample } from "../test/examples/workerd.ts";
import { names } from "../test/package/exports.ts";
import { installed, runInPage } from "../test/runtimes/browsers.ts";
import { bundle } from "../test/runtimes/bundle.ts";
import { programs, type Runtime } from "../test/runtimes/runtimes.ts";
import { serve } from "../test/runtimes/site.ts";
import { runInWorkerd } from "../test/runtimes/workerd.ts";
import { median } from "./lib/measure.ts";
import { options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options({ runs: "5", json: undefined as string | undefined });

const LIMIT = 300;
const PROGRAM = { "bench-program": "bench/runtimes/program.ts" };
const folder = "build/bench/runtimes";
const file = (kind: string) => `${folder}/${kind}/bench-program.js`;
await bundle(PROGRAM, `${folder}/programs`, { address: pathToFileURL(resolve("dist/index.js")).href });
await bundle(PROGRAM, `${folder}/pages`, { address: "/dist/web.js" });
await bundle(PROGRAM, `${folder}/workerd`, { names });

interface Measured {
  first: number;
  prefill: number;
  decode: number;
  how: string;
}

/** From starting workerd with the example to the first bytes of its story. */
async function firstInWorkerd(): Promise<number> {
  const start = performance.now();
  const worker = startExample();
  try {
    const { body } = await fetch(await worker.ready, { headers: { "Accept-Encoding": "identity" } });
    await body!.getReader().read();
    return performance.now() - start;
  } finally {
    await worker.dispose();
  }
}

const own: Runtime = {
  name: `Node ${process.versions.node.split(".")[0]}`,
  run: (path, limit) => node(path, [], limit),
};
const site = await serve(true);
const runtimes: (Runtime & { kind: string; first?: () => Promise<number> })[] = [
  ...[own, ...programs()].map((runtime) => ({ ...runtime, kind: "programs" })),
  { name: "workerd", kind: "workerd", run: (path, limit) => runInWorkerd(site, path, limit), first: firstInWorkerd },
];
const browsers = await installed();
for (const { name, browser } of browsers)
  runtimes.push({ name, kind: "pages", run: (path, limit) => runInPage(browser, site, path, limit) });

const found = new Map<string, Measured>();
for (const { name, kind, run, first } of runtimes) {
  const runs: Measured[] = [];
  for (let i = 0; i < Number(chosen.runs); i++) {
    console.error(`${name} ...`);
    const { output } = await run(file(kind), LIMIT);
    const [, json] = /^measured: (.*)$/m.exec(output) ?? [];
    if (!json) throw new Error(`${name} measured nothing:\n${output}`);
    runs.push({ ...JSON.parse(json), ...(first && { first: await first() }) });
  }
  found.set(name, {
    first: median(runs.map(({ first }) => first)),
    prefill: Math.max(...runs.map(({ prefill }) => prefill)),
    decode: Math.max(...runs.map(({ decode }) => decode)),
    how: runs[0].how,
  });
}
for (const { browser } of browsers) await browser.close();
await site.close();

const report = new Report("Runtimes", chosen.json);
const row = report.table(`The shipped model, ${chosen.runs} runs`, [
  "runtime",
  "how",
  "first token, ms",
  "prefill, tokens/s",
  "decode, tokens/s",
  "prefill / Node 24",
  "decode / Node 24",
]);
const base = found.get("Node 24");
for (const [name, { how, first, prefill, decode }] of found) {
  const share = (value: number, of: number | undefined) => (of ? (value / of).toFixed(2) : "-");
  const rates = [Math.round(prefill), Math.round(decode)];
  row(name, how, Math.round(first), ...rates, share(prefill, base?.prefill), share(decode, base?.decode));
}
report.end();
