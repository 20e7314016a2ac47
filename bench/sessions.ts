// What sessions cost and save: total tokens per second of many generations at once, a second turn against reading everything again, a
// prompt whose beginning the cache knows, and what it takes to fork, save and restore a state.
//
//   node scripts/run.mjs bench/synthetic.ts --size 0.4B --type q8_0
//   node scripts/run.mjs bench/sessions.ts --model build/bench/0.4B.q8_0.gguf --weights q7_0 --threads 2

import type { WeightType } from "../src/engine/weight-types.ts";
import type { GenerateOptions, Model } from "../src/index.ts";
import { builtPackage } from "./lib/built.ts";
import { median } from "./lib/measure.ts";
import { LOADABLE, numbers, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options(
  {
    model: "weights/stories-7m.q8_0.gguf",
    /** "file": as they are in the file. */
    weights: "file",
    threads: "1,2",
    /** How many generations at once. */
    sessions: "1,4,8,16",
    /** Tokens of each. */
    tokens: "48",
    /** Tokens of the conversation so far, and of the turn that follows. */
    history: "512",
    turn: "16",
    runs: "5",
    /** "batches", "turns", "cache", "states": which tables. */
    only: "batches,turns,cache,states",
    json: undefined as string | undefined,
  },
  { weights: LOADABLE, only: ["batches", "turns", "cache", "states"] },
);
const [maxTokens, history, turn, runs] = [chosen.tokens, chosen.history, chosen.turn, chosen.runs].map(Number);
const counts = numbers(chosen.sessions);
const { load } = await builtPackage();
const weights = chosen.weights === "file" ? undefined : (chosen.weights as WeightType);
const report = new Report(`Sessions, ${chosen.model}${weights ? ` as ${weights}` : ""}`, chosen.json);

const milliseconds = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

/** Some token ids: `count` of them, others for another `seed`. */
const ids = (model: Model, count: number, seed = 0) =>
  Uint32Array.from({ length: count }, (_, i) => 1 + (((i + seed * 131) * 7919 + seed) % (model.info.vocab - 1)));

/** Runs all works, one after the other, so many times; what each took, the middle one. The first round, in which engines optimise, does not count. */
async function interleaved(works: readonly (() => Promise<number>)[]): Promise<number[]> {
  const times: number[][] = works.map(() => []);
  for (let run = 0; run <= runs; run++) {
    for (const [i, work] of works.entries()) {
      const time = await work();
      if (run > 0) times[i].push(time);
    }
  }
  return times.map(median);
}

const OPTIONS: GenerateOptions = { stopTokens: [], seed: 1 };

for (const threads of numbers(chosen.threads)) {
  const many = Math.max(...counts);
  // Room for every table's prompts, and for what forks and restored sessions need.
  const plain = await load(chosen.model, { threads, weights, sessions: many + 72 });
  const name = `${threads === 0 ? "inline" : `${threads} threads`}, build ${plain.info.build}`;
  if (chosen.only.includes("batches")) await batches(plain, name);
  if (chosen.only.includes("turns")) await turns(plain, name);
  if (chosen.only.includes("states")) await states(plain, name);
  const bytes = 64 * plain.info.stateBytes + (1 << 20);
  await plain.close();
  if (!chosen.only.includes("cache")) continue;
  const cached = await load(chosen.model, { threads, weights, prefixCache: bytes });
  await cache(cached, name);
  await cached.close();
}
report.end();

/** Many generations at once. */
async function batches(model: Model, name: string): Promise<void> {
  const row = report.table(`${maxTokens} tokens of each of n generations at once, ${name}; median of ${runs} runs`, [
    "generations",
    "tokens/s in all",
    "of each",
    "against one",
  ]);
  const works = counts.map((count) => async () => {
    const sessions = Array.from({ length: count }, () => model.session());
    await Promise.all(sessions.map((session, i) => session.feed(ids(model, 4, i))));
    const time = await milliseconds(() =>
      Promise.all(sessions.map((session, i) => session.generate([], { ...OPTIONS, maxTokens, seed: i }).result)),
    );
    await Promise.all(sessions.map((session) => session.close()));
    return (count * maxTokens * 1000) / time;
  });
  const rates = await interleaved(works);
  const one = rates[counts.indexOf(1)];
  counts.forEach((count, i) => {
    row(count, rates[i], rates[i] / count, one ? rates[i] / one : "-");
  });
}

/** The second turn of a conversation, whose first one the session has read, against a program that sends all of it again. */
async function turns(model: Model, name: string): Promise<void> {
  const [first, second] = [ids(model, history), ids(model, turn, 1)];
  const row = report.table(`To the first token behind ${history} + ${turn} tokens, ${name}`, ["", "ms"]);
  const [again, on] = await interleaved([
    () => milliseconds(() => model.generate([...first, ...second], { ...OPTIONS, maxTokens: 1 }).result),
    async () => {
      const session = model.session();
      await session.feed(first);
      const time = await milliseconds(() => session.generate(second, { ...OPTIONS, maxTokens: 1 }).result);
      await session.close();
      return time;
    },
  ]);
  row("everything read again", again);
  row("the session goes on", on);
  row("times as quick", again / on);
}

/** A prompt whose beginning was read before. */
async function cache(model: Model, name: string): Promise<void> {
  const row = report.table(
    `To the first token of a prompt of ${history} tokens and ${turn} more, with a cache, ${name}`,
    ["", "ms"],
  );
  const whole = (seed: number) => [...ids(model, history), ...ids(model, turn, seed)];
  const ask = (prompt: number[]) => milliseconds(() => model.generate(prompt, { ...OPTIONS, maxTokens: 1 }).result);
  let seed = 1;
  const [miss, hit, same] = await interleaved([
    async () => {
      model.prefixCache!.clear();
      return ask(whole(seed));
    },
    async () => {
      // The second one parts from the first and leaves a state there; the third one finds it.
      await ask(whole(++seed));
      return ask(whole(++seed));
    },
    () => ask(whole(seed)),
  ]);
  row("nothing is known", miss);
  row("the beginning is known", hit);
  row("all of it is known", same);
}

/** Forks, saved bytes, restored ones, forks that move on: what one of them takes. */
async function states(model: Model, name: string): Promise<void> {
  const COUNT = 32;
  const row = report.table(`One state of ${(model.info.stateBytes / 1024).toFixed(0)} KiB, ${name}`, ["", "µs"]);
  const source = model.session();
  await source.feed(ids(model, 4));
  const bytes = await source.save();
  const each = (time: number) => (time * 1000) / COUNT;
  const labels = [
    "fork()",
    "fork() to when the engine has it",
    "save()",
    "session(bytes)",
    "session(bytes) to when the engine has it",
  ];
  const open = async (make: () => ReturnType<Model["session"]>, settled: boolean) => {
    const sessions: ReturnType<Model["session"]>[] = [];
    const start = performance.now();
    for (let i = 0; i < COUNT; i++) {
      sessions.push(make());
      // Feeding nothing waits for the session to be there.
      if (settled) await sessions[i].feed([]);
    }
    const time = performance.now() - start;
    await Promise.all(sessions.map((session) => session.close()));
    return time;
  };
  const times = await interleaved([
    () => open(() => source.fork(), false),
    () => open(() => source.fork(), true),
    () =>
      milliseconds(async () => {
        for (let i = 0; i < COUNT; i++) await source.save();
      }),
    () => open(() => model.session(bytes), false),
    () => open(() => model.session(bytes), true),
  ]);
  labels.forEach((label, i) => {
    row(label, each(times[i]));
  });
  await source.close();
}
