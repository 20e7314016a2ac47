/** What a model in a file costs: memory, loading time and speed. */

import { stat } from "node:fs/promises";
import type { load, Model } from "../index.ts";
import { median } from "./numbers.ts";

export interface Speeds {
  threads: number;
  build: string;
  parameters: number;
  /** Bytes of the file, of all memory that the model takes, and of a session's state. */
  file: number;
  memory: number;
  state: number;
  loadSeconds: number;
  /** Tokens per second, reading a prompt and writing: medians. */
  prefill: number;
  decode: number;
}

export interface Measuring {
  threads: number | "auto";
  /** Tokens to read, and to write. */
  prompt: number;
  tokens: number;
  runs: number;
  signal?: AbortSignal;
}

/** What takes less seconds is loaded again: the first time engines still optimise. */
const QUICK_LOAD = 3;

export async function measure(
  open: typeof load,
  path: string,
  { threads, prompt, tokens, runs, signal }: Measuring,
): Promise<Speeds> {
  const loaded = () => timed(() => open(path, { threads, signal }));
  let [model, loadSeconds] = await loaded();
  if (loadSeconds < QUICK_LOAD) {
    await model.close();
    [model, loadSeconds] = await loaded();
  }
  try {
    await once(model, 64, 8, signal);
    const reading: number[] = [];
    const writing: number[] = [];
    for (let run = 0; run < runs; run++) {
      const { read, wrote } = await once(model, prompt, tokens, signal);
      reading.push(prompt / read);
      writing.push(tokens / wrote);
    }
    const { info } = model;
    return {
      threads: info.threads,
      build: info.build,
      parameters: info.parameters,
      file: (await stat(path)).size,
      memory: info.memory,
      state: info.stateBytes,
      loadSeconds,
      prefill: median(reading),
      decode: median(writing),
    };
  } finally {
    await model.close();
  }
}

/** Seconds of reading a text and of going on from there. */
async function once(
  model: Model,
  prompt: number,
  tokens: number,
  signal?: AbortSignal,
): Promise<{ read: number; wrote: number }> {
  const session = model.session();
  try {
    const ids = Uint32Array.from({ length: prompt }, (_, i) => 1 + (((i + 1) * 7919) % (model.info.vocab - 1)));
    const [, read] = await timed(() => session.feed(ids, { signal }));
    const options = { maxTokens: tokens, temperature: 0, stopTokens: [], signal };
    const [, wrote] = await timed(() => session.generate([], options).result);
    return { read, wrote };
  } finally {
    await session.close();
  }
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const started = performance.now();
  const done = await work();
  return [done, (performance.now() - started) / 1000];
}
