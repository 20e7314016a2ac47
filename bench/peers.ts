// This package against others on the same files: node-llama-cpp (llama.cpp's native code) in Node, wllama (llama.cpp's
// WebAssembly) in Chromium. Both sides are loaded, then asked in turn, so that what else the machine does hits both alike; what
// counts is the median of the pairs. The peers are installed on demand, in bench/peers/.
//
//   node scripts/run.mjs bench/peers.ts --sizes 0.1B,0.4B --peers node-llama-cpp,wllama --json peers.json
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { node, run } from "../scripts/program.ts";
import { TARGET_TYPES } from "../src/engine/weight-types.ts";
import { SIZES } from "../src/lab/synthetic.ts";
import { start } from "../test/runtimes/browsers.ts";
import { serve } from "../test/runtimes/site.ts";
import { median } from "./lib/measure.ts";
import { list, numbers, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options(
  {
    peers: "node-llama-cpp,wllama",
    /** Sizes of bench/synthetic.ts; the peers read the q8_0 file, and so do we, or convert it while loading. */
    sizes: "0.1B,0.4B,1.5B",
    weights: "q8_0,q7_0",
    threads: "1,2",
    pairs: "5",
    prompt: "512",
    tokens: "32",
    /** The Node for both native sides; this one by default. */
    node: process.execPath,
    json: undefined as string | undefined,
  },
  { peers: ["node-llama-cpp", "wllama"], sizes: Object.keys(SIZES), weights: TARGET_TYPES },
);

/** Milliseconds between two sides' turns. */
const PAUSE = 300;

type Work = "prefill" | "decode";

interface Contestant {
  work(kind: Work, tokens: number): Promise<number>;
  close(): Promise<void>;
}

async function native(side: string, file: string, threads: number, weights = ""): Promise<Contestant> {
  const child = spawn(chosen.node, ["bench/peers/native.mjs", side, file, String(threads), weights], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${side} ended early.`);
    return value;
  };
  while ((await next()) !== "ready");
  return {
    async work(kind, tokens) {
      child.stdin.write(`${kind} ${tokens}\n`);
      return Number(await next());
    },
    async close() {
      child.stdin.end();
      await new Promise((resolve) => child.on("exit", resolve));
    },
  };
}

/** Pages of one Chromium, served with the headers that shared memory takes. */
async function browser() {
  const chromium = await start("Chromium");
  const context = await chromium.createBrowserContext();
  const site = await serve(true);
  return {
    async open(side: string, file: string, threads: number, weights = ""): Promise<Contestant> {
      const page = await context.newPage();
      const query = new URLSearchParams({
        run: "/bench/peers/page.js",
        side,
        file: `/${file}`,
        threads: String(threads),
        weights,
      });
      await page.goto(`${site.url}/page?${query}`);
      let said: string | undefined;
      while (!said) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        const printed = (await page.evaluate("printed.splice(0)")) as string[];
        said = printed.find((line) => /^(ready|failed|thrown): /.test(line));
      }
      if (!said.startsWith("ready")) throw new Error(`${side}: ${said}`);
      return {
        work: async (kind, tokens) => (await page.evaluate(`contestant.${kind}(${tokens})`)) as number,
        close: async () => void (await page.close()),
      };
    },
    async end() {
      await chromium.close();
      await site.close();
    },
  };
}

/** Tokens per second of both, asked in turn; the first answers, in which engines still optimise, do not count. */
async function duel(us: Contestant, them: Contestant, kind: Work, tokens: number, pairs: number) {
  const rates: [number[], number[]] = [[], []];
  for (let pair = 0; pair <= pairs; pair++) {
    for (const [i, side] of [us, them].entries()) {
      // Threads of the other side may still spin, waiting for more.
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      const rate = (tokens / (await side.work(kind, tokens))) * 1000;
      if (pair > 0) rates[i].push(rate);
    }
  }
  return rates;
}

async function file(size: string): Promise<string> {
  const path = `build/bench/${size}.q8_0.gguf`;
  if (!existsSync(path)) {
    const made = await node("scripts/run.mjs", ["bench/synthetic.ts", "--size", size, "--output", path]);
    if (made.code !== 0) throw new Error(made.output);
  }
  return path;
}

if (!existsSync("bench/peers/node_modules")) {
  console.log("Installing the peers into bench/peers/ (once; 750 MB on disk) ...");
  const installed = await run("npm", ["install", "--no-package-lock", "--prefix", "bench/peers", "--ignore-scripts"]);
  if (installed.code !== 0) throw new Error(installed.output);
}

const report = new Report(`Peers, ${chosen.pairs} pairs in turn`, chosen.json);
const row = report.table(`Prefill of ${chosen.prompt} tokens, decode of ${chosen.tokens}: tokens/s, medians`, [
  "peer",
  "size",
  "ours",
  "work",
  "threads",
  "this",
  "peer's",
  "ratio",
  "lowest",
  "highest",
]);
const [pairs, prompt, tokens] = [chosen.pairs, chosen.prompt, chosen.tokens].map(Number);
for (const peer of list(chosen.peers)) {
  const page = peer === "wllama" ? await browser() : undefined;
  const open = page ? page.open : native;
  for (const size of list(chosen.sizes)) {
    const path = await file(size);
    for (const threads of numbers(chosen.threads)) {
      const them = await open(peer, path, threads);
      for (const weights of list(chosen.weights)) {
        const us = await open("ours", path, threads, weights === "q8_0" ? "" : weights);
        for (const [kind, count] of [
          ["prefill", prompt],
          ["decode", tokens],
        ] as const) {
          const [ours, theirs] = await duel(us, them, kind, count, pairs);
          const ratios = ours.map((rate, i) => rate / theirs[i]);
          row(
            peer,
            size,
            weights,
            kind,
            threads,
            median(ours),
            median(theirs),
            median(ratios),
            Math.min(...ratios),
            Math.max(...ratios),
          );
        }
        await us.close();
      }
      await them.close();
    }
  }
  await page?.end();
}
report.end();
