// Tokens per second of a model, as a program that uses the package sees them: reading a prompt (prefill) and writing a text
// (decode), for some numbers of threads, types of weights and builds. Every combination runs in a process of its own, so that
// none sees what another left behind, and its memory can be told.
import { resourceUsage } from "node:process";
import { node } from "../scripts/program.ts";
import { Arena, createMemory } from "../src/engine/memory.ts";
import { storedRow, type WeightType } from "../src/engine/weight-types.ts";
import { builtPackage, usableBuilds } from "./lib/built.ts";
import { Limits, limitsModule } from "./lib/limits.ts";
import { median } from "./lib/measure.ts";
import { fill } from "./lib/numbers.ts";
import { LOADABLE, list, numbers, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options(
  {
    model: "weights/stories-7m.q8_0.gguf",
    /** "file": as they are in the file. */
    weights: "file",
    threads: "0,1,2",
    builds: (await usableBuilds()).filter((build) => !build.endsWith("threads")).join(),
    prompt: "512",
    tokens: "128",
    runs: "7",
    /** "yes": also what share decoding is of reading the same bytes once per token, in the same process. */
    limit: "no",
    json: undefined as string | undefined,
    /** One combination, for the process that measures it. */
    only: undefined as string | undefined,
  },
  { weights: LOADABLE, builds: ["plain", "relaxed"], limit: ["yes", "no"] },
);

interface Combination {
  weights: string;
  threads: number;
  build: "plain" | "relaxed";
}

interface Measured {
  /** Tokens per second: the median, the slowest and the quickest run. */
  prefill: number[];
  decode: number[];
  /** Tokens per second if reading the weights were all there is to do; 0 if not asked for. */
  limit: number;
  /** Milliseconds from a file to a model. */
  load: number;
  /** MiB: the most that the process ever had, and what WebAssembly has of it. */
  rss: number;
  memory: number;
}

if (chosen.only) console.log(JSON.stringify(await measure(JSON.parse(chosen.only) as Combination)));
else await all();

async function all(): Promise<void> {
  const report = new Report(`Tokens per second, ${chosen.model}`, chosen.json);
  const row = report.table(
    `Prefill of ${chosen.prompt} tokens, decode of ${chosen.tokens}; tokens/s, median of ${chosen.runs} runs`,
    [
      "weights",
      "threads",
      "build",
      "prefill",
      "slowest",
      "decode",
      "slowest",
      "share of reading %",
      "load ms",
      "peak RSS MiB",
      "wasm MiB",
    ],
  );
  const { model, prompt, tokens, runs, limit } = chosen;
  const shared = ["--model", model, "--prompt", prompt, "--tokens", tokens, "--runs", runs, "--limit", limit];
  for (const weights of list(chosen.weights)) {
    for (const threads of numbers(chosen.threads)) {
      for (const build of list(chosen.builds)) {
        const { code, output } = await node(process.argv[1], [
          ...shared,
          "--only",
          JSON.stringify({ weights, threads, build }),
        ]);
        if (code !== 0) {
          console.log(`${weights}, ${threads} threads, ${build}: failed\n${output}`);
          process.exitCode = 1;
          continue;
        }
        const { prefill, decode, limit, load, rss, memory } = JSON.parse(output.trim().split("\n").at(-1)!) as Measured;
        const [middle, slowest] = [median, (values: number[]) => Math.min(...values)];
        row(
          weights,
          threads === 0 ? "inline" : threads,
          build,
          middle(prefill),
          slowest(prefill),
          middle(decode),
          slowest(decode),
          limit ? Math.round((100 * middle(decode)) / limit) : "-",
          Math.round(load),
          Math.round(rss),
          Math.round(memory),
        );
      }
    }
  }
  report.end();
}

async function measure({ weights, threads, build }: Combination): Promise<Measured> {
  const [promptTokens, maxTokens, runs] = [chosen.prompt, chosen.tokens, chosen.runs].map(Number);
  const { load } = await builtPackage();
  const started = performance.now();
  const type = weights === "file" ? undefined : (weights as WeightType);
  const model = await load(chosen.model, { threads, build, weights: type });
  const loaded = performance.now() - started;

  const { vocab, memory } = model.info;
  const prompt = Uint32Array.from({ length: promptTokens }, (_, i) => 1 + ((i * 7919) % (vocab - 1)));
  const prefill: number[] = [];
  const decode: number[] = [];
  // The first run, in which engines still optimise, does not count.
  for (let run = 0; run <= runs; run++) {
    const session = model.session();
    await session.feed([0]);
    let start = performance.now();
    await session.feed(prompt);
    const read = performance.now() - start;
    start = performance.now();
    const { tokens } = await session.generate([], { maxTokens, temperature: 0, stopTokens: [] }).result;
    const wrote = performance.now() - start;
    await session.close();
    if (run === 0) continue;
    prefill.push((promptTokens / read) * 1000);
    decode.push((tokens / wrote) * 1000);
  }
  const bytes = await bytesPerToken(model.info.weights, type);
  const limit = chosen.limit === "yes" ? (await readRate(bytes, Math.max(1, threads))) / bytes : 0;
  await model.close();
  return { prefill, decode, limit, load: loaded, rss: resourceUsage().maxRSS / 1024, memory: memory / 2 ** 20 };
}

/** What one token reads: all weights but the table of embeddings, of which it reads a row. */
async function bytesPerToken(weights: Readonly<Record<string, number>>, type?: WeightType): Promise<number> {
  const { inspect } = await builtPackage();
  const { tensors } = await inspect(chosen.model, { weights: type });
  const table = tensors.find(({ name }) => name === "emb.weight")!;
  const all = Object.values(weights).reduce((a, b) => a + b, 0);
  return all - table.shape[0] * storedRow(table.type as WeightType, table.shape[1]);
}

/** Bytes per second of reading so many bytes, again and again, with so many threads. */
async function readRate(bytes: number, ranks: number): Promise<number> {
  const memory = createMemory(bytes + (1 << 20), bytes + (1 << 20), ranks > 1);
  const arena = new Arena(1 << 16);
  const limits = new Limits(await limitsModule(ranks > 1 ? "plain-threads" : "plain"), memory, arena, ranks);
  // Pages that were never written are all the same zeros to the system.
  fill(memory, arena.end, bytes >> 2);
  const rate = await limits.read(arena.end, bytes);
  await limits.end();
  return rate * 1e9;
}
