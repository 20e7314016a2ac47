/** `rwkv bench`: how quickly a model reads and writes on this machine. */

import { cpus } from "node:os";
import type { Model, Session } from "../index.ts";
import { type Command, type Given, numberOf, type Range, UsageError } from "./arguments.ts";
import { interruption } from "./interrupt.ts";
import { loadModel, modelArgs, modelOptions, threadsOf } from "./model.ts";
import { columns } from "./table.ts";
import { Progress, printable, write } from "./terminal.ts";

const TOKENS: Range = { low: 1, high: 1_000_000, integer: true };
const RUNS: Range = { low: 1, high: 1000, integer: true };
const BATCH: Range = { low: 1, high: 256, integer: true };

export const bench: Command = {
  meta: { name: "bench", description: "Measure tokens per second" },
  args: {
    name: { type: "positional", required: false, description: "The model, as --model" },
    ...modelArgs,
    threads: {
      type: "string",
      valueHint: "list",
      default: "1,auto",
      description: "Numbers of threads, with commas between them: auto, or integers from 0 to 64",
    },
    batch: {
      type: "string",
      valueHint: "list",
      default: "1,4",
      description: "How many texts at a time, with commas between them",
    },
    prompt: { type: "string", valueHint: "n", default: "256", description: "Tokens to read, in each text" },
    tokens: { type: "string", valueHint: "n", default: "64", description: "Tokens to write, in each text" },
    runs: {
      type: "string",
      valueHint: "n",
      default: "5",
      description: "How often each is measured, after a first time that does not count",
    },
    json: { type: "boolean", description: "Write JSON" },
  },
  run: measureAll,
};

/** Tokens per second of all texts together. */
interface Rate {
  median: number;
  slowest: number;
  quickest: number;
}

interface Row {
  threads: number;
  mode: string;
  build: string;
  batch: number;
  loadSeconds: number;
  memory: number;
  /** Reading a prompt, and writing a text. */
  prefill: Rate;
  decode: Rate;
}

interface Plan {
  batch: number;
  prompt: number;
  tokens: number;
  runs: number;
}

async function measureAll(given: Given): Promise<void> {
  const { values, switches } = given;
  const number = (name: "prompt" | "tokens" | "runs", range: Range) => numberOf("bench", name, values[name]!, range);
  const [prompt, tokens, runs] = [number("prompt", TOKENS), number("tokens", TOKENS), number("runs", RUNS)];
  const threads = values.threads!.split(",").map((text) => threadsOf(text.trim(), "bench"));
  const batches = values.batch!.split(",").map((text) => numberOf("bench", "batch", text.trim(), BATCH));
  if (values.name !== undefined && values.model !== undefined)
    throw new UsageError("the model was named twice, as <NAME> and as --model", "bench");
  const loading = modelOptions("bench", { ...given, values: { ...values, threads: "auto" } });
  const signal = interruption();

  const rows: Row[] = [];
  let name = "";
  const progress = new Progress("Measuring");
  const total = threads.length * batches.length * (runs + 1);
  let loaded = 0;
  try {
    for (const count of threads) {
      const started = performance.now();
      const options = { ...loading, threads: count, sessions: Math.max(...batches) + 1 };
      const model = await loadModel(values.name ?? values.model, options, signal);
      const loadSeconds = (performance.now() - started) / 1000;
      try {
        const { mode, build, memory } = model.info;
        name = `${model.info.name}, RWKV-${model.info.version}, ${Object.keys(model.info.weights).join(", ")}`;
        for (const batch of batches) {
          const ran = () => progress.update({ loaded: ++loaded, total });
          const rates = await measure(model, { batch, prompt, tokens, runs }, signal, ran);
          rows.push({ threads: model.info.threads, mode, build, batch, loadSeconds, memory, ...rates });
        }
      } finally {
        await model.close();
      }
    }
  } finally {
    progress.end();
  }
  const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, runtime: runtimeName() };
  const report = { model: name, ...machine, prompt, tokens, runs, rows };
  const text = switches.has("json") ? JSON.stringify(report, null, 2) : tableOf(report);
  await write(process.stdout, `${switches.has("json") && !process.stdout.isTTY ? text : printable(text)}\n`);
}

/** What runs this program: executables are made of other runtimes, too. */
function runtimeName(): string {
  const { bun, deno, node } = process.versions;
  return bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`;
}

/** Runs one combination; the first time, in which engines still optimise, does not count. */
async function measure(
  model: Model,
  { batch, prompt, tokens, runs }: Plan,
  signal: AbortSignal,
  ran: () => void,
): Promise<Pick<Row, "prefill" | "decode">> {
  const { vocab } = model.info;
  // Different tokens in each text: the same ones again and again would lie in the caches.
  const texts = Array.from({ length: batch }, (_, text) =>
    Uint32Array.from({ length: prompt }, (_, i) => 1 + (((i + 1) * 7919 + text * 104729) % (vocab - 1))),
  );
  const prefill: number[] = [];
  const decode: number[] = [];
  const timed = async (work: (session: Session, i: number) => Promise<unknown>, sessions: readonly Session[]) => {
    const started = performance.now();
    await Promise.all(sessions.map(work));
    return (performance.now() - started) / 1000;
  };
  for (let run = 0; run <= runs; run++) {
    const sessions = texts.map(() => model.session());
    try {
      const read = await timed((session, i) => session.feed(texts[i]!, { signal }), sessions);
      const options = { maxTokens: tokens, temperature: 0, stopTokens: [], signal };
      const wrote = await timed((session) => session.generate([], options).result, sessions);
      if (run > 0) {
        prefill.push((batch * prompt) / read);
        decode.push((batch * tokens) / wrote);
      }
    } finally {
      for (const session of sessions) await session.close();
    }
    ran();
  }
  return { prefill: rateOf(prefill), decode: rateOf(decode) };
}

function rateOf(values: readonly number[]): Rate {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1]!, sorted[sorted.length >> 1]!];
  return { median: (low + high) / 2, slowest: sorted[0]!, quickest: sorted.at(-1)! };
}

interface Report {
  model: string;
  cpu: string;
  cores: number;
  runtime: string;
  prompt: number;
  tokens: number;
  runs: number;
  rows: readonly Row[];
}

function tableOf({ model, cpu, cores, runtime, prompt, tokens, runs, rows }: Report): string {
  const head = ["threads", "texts", `read ${prompt}`, "slowest", `write ${tokens}`, "slowest", "mode"];
  const cells = rows.map((row) => [
    String(row.threads),
    String(row.batch),
    ...[row.prefill, row.decode].flatMap(({ median, slowest }) => [rounded(median), rounded(slowest)]),
    `${row.mode}, ${row.build}`,
  ]);
  return [
    `${model}`,
    `${cpu}, ${cores} cores, ${runtime}`,
    `Tokens per second, all texts together: the median of ${runs} runs, and the slowest`,
    "",
    ...columns([head, ...cells], [head.length - 1]),
  ].join("\n");
}

const rounded = (rate: number): string => rate.toFixed(rate < 10 ? 2 : rate < 100 ? 1 : 0);
