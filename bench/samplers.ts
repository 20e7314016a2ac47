// What drawing a token costs, one thread: each sampler alone and some together, over logits with few likely tokens and over nearly
// even ones; accepting a token; log-probabilities.
import { SAMPLER_STEP } from "../assembly/ops.ts";
import { type Build, instantiate } from "../src/engine/kernels.ts";
import { Arena, createMemory } from "../src/engine/memory.ts";
import { samplerMask, writeSampling } from "../src/engine/sampler.ts";
import { type SamplingOptions, samplingOf } from "../src/sampling.ts";
import { compiled, usableBuilds } from "./lib/built.ts";
import { measure } from "./lib/measure.ts";
import { list, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const usable = await usableBuilds();
const chosen = options(
  {
    vocab: "65536",
    builds: usable.at(-1)!,
    only: "",
    json: undefined as string | undefined,
  },
  { builds: usable },
);
const VOCAB = Number(chosen.vocab);
const MEMORY = 1 << 26;

/** Numbers from 0 to 1, the same in every run. */
const unit = (i: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 0) / 2 ** 32;
const bell = (i: number) =>
  (unit(4 * i) + unit(4 * i + 977) + unit(4 * i + 2111) + unit(4 * i + 3163) - 2) * Math.sqrt(3);

/**
 * Peaked: as in the middle of a text; 90 % lie on 12 tokens, 99 % on a hundred, the rest is a bell far below. Flat: a bell of deviation
 * 0.5, so that 90 % lie on nearly all tokens. Even: all the same.
 */
const LOGITS: Record<string, (i: number) => number> = {
  peaked: (i) => {
    const rank = Math.imul(i, 40503) & 0xffff;
    return rank < 2000 ? 12 - 2 * Math.log(rank + 1) : -12 + 2.5 * bell(i);
  },
  flat: (i) => 0.5 * bell(i),
  even: () => 1,
};

/** Everything that is not named is off. */
const OFF: SamplingOptions = { temperature: 0.8, topP: 1, seed: 1 };
const SETTINGS: Record<string, SamplingOptions> = {
  greedy: { temperature: 0 },
  "temperature 0.8": {},
  "top-p 0.9": { topP: 0.9 },
  "top-k 40": { topK: 40 },
  "min-p 0.05": { minP: 0.05 },
  "typical 0.9": { typicalP: 0.9 },
  "top-n-sigma 1": { topNSigma: 1 },
  xtc: { xtc: { probability: 1 } },
  "dynamic temperature": { dynamicTemperature: {} },
  mirostat: { mirostat: {} },
  "repetition, presence, frequency": {
    repetitionPenalty: 1.1,
    presencePenalty: 0.2,
    frequencyPenalty: 0.2,
    penaltyDecay: 0.996,
  },
  "dry, looking 1024 back": { dry: {} },
  "dry, looking 4096 back": { dry: { range: 4096 } },
  "logit bias, 1000 tokens": { logitBias: Array.from({ length: 1000 }, (_, i) => [i * 7, i % 9]) },
  "top-p 0.9, min-p, penalties, dry": {
    topP: 0.9,
    minP: 0.02,
    presencePenalty: 0.2,
    frequencyPenalty: 0.2,
    penaltyDecay: 0.996,
    dry: {},
  },
};

const report = new Report("Samplers", chosen.json);
for (const build of list(chosen.builds) as Build[]) {
  const memory = createMemory(MEMORY, MEMORY, build.endsWith("threads"));
  const kernels = instantiate(compiled(build), memory);
  const arena = new Arena(1 << 16);
  const area = arena.alloc(kernels.sampler_bytes(VOCAB));
  const work = arena.alloc(kernels.sampler_work(VOCAB));
  const logits = arena.alloc(VOCAB * 4 + 64);
  const row = report.table(`Build ${build}, 1 thread, ${VOCAB} tokens, µs per token`, [
    "sampler",
    ...Object.keys(LOGITS),
    ...Object.keys(LOGITS).map((name) => `${name}, median`),
  ]);
  const each = async (name: string, run: (step: number) => void) => {
    if (!name.includes(chosen.only)) return;
    const times = [];
    for (const logit of Object.values(LOGITS)) {
      new Float32Array(memory.buffer, logits, VOCAB).set(Float32Array.from({ length: VOCAB }, (_, i) => logit(i)));
      let step = 0;
      times.push(await measure(() => run(step++), 0.2));
    }
    row(name, ...times.map(({ best }) => best * 1e6), ...times.map(({ median }) => median * 1e6));
  };
  const begin = (options: SamplingOptions) => {
    writeSampling(kernels, memory, area, VOCAB, samplingOf({ ...OFF, ...options }, { size: VOCAB }));
    for (let i = 0; i < 5000; i++) kernels.accept(area, VOCAB, Math.floor(500 * unit(i)));
  };
  const steps = new Uint32Array(memory.buffer, area, 64);
  const sample = (step: number) => {
    steps[SAMPLER_STEP / 4] = step;
    kernels.sample(logits, VOCAB, area, work);
  };
  for (const [name, options] of Object.entries(SETTINGS)) {
    begin(options);
    await each(name, sample);
  }
  for (const [name, allowed] of [
    ["mask of a grammar, 1 % allowed", (i: number) => unit(i) < 0.01],
    ["mask of a grammar, 99 % allowed", (i: number) => unit(i) < 0.99],
  ] as const) {
    begin({});
    const mask = samplerMask(kernels, memory, area, VOCAB);
    for (let i = 0; i < VOCAB; i++) if (allowed(i)) mask[i >> 5] |= 1 << (i & 31);
    await each(name, sample);
  }
  begin({ frequencyPenalty: 0.2, penaltyDecay: 0.996 });
  await each("accept, counts that decay", (step) => kernels.accept(area, VOCAB, step & 255));
  begin({ dry: {} });
  await each("accept, dry only", (step) => kernels.accept(area, VOCAB, step & 255));
  await each("log-probability", (step) => kernels.logprobs(logits, VOCAB, step & 255, area, 0, work));
  await each("log-probabilities of the 20 likeliest", (step) =>
    kernels.logprobs(logits, VOCAB, step & 255, area, 20, work),
  );
}
report.end();
