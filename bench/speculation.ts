// What guessing ahead costs and gives: tokens per second without it, when every guess is right, and when every guess is wrong; what one
// step with so many guesses takes, and from what share of right guesses on it pays. A draft that is always right would be the model itself,
// one that is always wrong is any other model, so a draft pays between the two. Real texts with lookup are measured on the shipped model.
//
//   node scripts/run.mjs bench/synthetic.ts --size 0.4B --type q8_0
//   node scripts/run.mjs bench/synthetic.ts --size 0.1B --type q8_0 --seed 2 --output build/bench/draft.gguf
//   node scripts/run.mjs bench/speculation.ts --model build/bench/0.4B.q8_0.gguf --draft build/bench/draft.gguf
import type { GenerateOptions, Model } from "../src/index.ts";
import { builtPackage } from "./lib/built.ts";
import { median } from "./lib/measure.ts";
import { numbers, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options(
  {
    model: "weights/stories-7m.q8_0.gguf",
    /** Another model of the same vocabulary; without it, nothing is drafted. */
    draft: "",
    threads: "1",
    guesses: "1,2,4,8,16",
    tokens: "96",
    runs: "5",
    /** "cpu": by the time that the process computed, for busy machines; with one thread, whose waiting costs nothing. */
    clock: "wall",
    json: undefined as string | undefined,
  },
  { clock: ["wall", "cpu"] },
);
const [threads, maxTokens, runs] = [chosen.threads, chosen.tokens, chosen.runs].map(Number);
const { load } = await builtPackage();
const model = await load(chosen.model, { threads });
const draft = chosen.draft ? await load(chosen.draft, { threads }) : undefined;
const report = new Report(`Speculation, ${chosen.model}, ${threads} threads`, chosen.json);

/** The same token again and again: whatever is looked up is right. */
const MONOTONE: GenerateOptions = { temperature: 0, presencePenalty: -100, stopTokens: [], maxTokens };
const VARIED: GenerateOptions = { temperature: 1, topP: 1, seed: 1, stopTokens: [], maxTokens };

const now = () => {
  if (chosen.clock === "wall") return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Tokens per second, and the share of guesses that were right. */
async function measure(from: Model, options: GenerateOptions, prompt: number[] | string = [1, 2, 3]) {
  const rates: number[] = [];
  let right = 0;
  // The first run, in which engines still optimise, does not count.
  for (let run = 0; run <= runs; run++) {
    const session = from.session();
    await session.feed(prompt);
    const start = now();
    const { tokens, guessed } = await session.generate([], options).result;
    if (run > 0) rates.push((tokens / (now() - start)) * 1000);
    if (guessed) right = guessed.proposed > 0 ? guessed.accepted / guessed.proposed : 0;
    await session.close();
  }
  return { rate: median(rates), right };
}

const row = report.table(`Decoding ${maxTokens} tokens, median of ${runs} runs`, [
  "guesses",
  "all right, tokens/s",
  "gain",
  "all wrong, tokens/s",
  "gain",
  "a step takes",
  "pays from",
]);
const plain = await measure(model, MONOTONE);
row(0, plain.rate, 1, plain.rate, 1, 1, "-");
for (const tokens of numbers(chosen.guesses)) {
  const best = await measure(model, { ...MONOTONE, speculate: { lookup: 1, tokens } });
  const worst = draft && (await measure(model, { ...VARIED, speculate: { draft, tokens } }));
  // All right, a step gives one token more than was guessed.
  const step = ((tokens + 1) * plain.rate) / best.rate;
  row(
    tokens,
    best.rate,
    best.rate / plain.rate,
    worst?.rate ?? "-",
    worst ? worst.rate / plain.rate : "-",
    step,
    step < tokens + 1 ? `${Math.ceil(100 * breakEven(tokens, step))} %` : "never",
  );
}

if (!chosen.draft) {
  const text = report.table("Real texts, looked up by the last 2 tokens, 4 guesses", [
    "text",
    "tokens/s",
    "looked up",
    "right %",
  ]);
  const story = "Once upon a time there was a dog named Max. Max had a red ball. ";
  for (const [name, prompt] of [
    ["a story", story],
    ["a story, told again", `${story}Max said: "I will tell it again." ${story}Max said: "I will tell it again." Once`],
  ]) {
    const options: GenerateOptions = { temperature: 0, stopTokens: [], maxTokens };
    const without = await measure(model, options, prompt);
    const looked = await measure(model, { ...options, speculate: { lookup: 2 } }, prompt);
    text(name, without.rate, looked.rate, Math.round(100 * looked.right));
  }
}
report.end();
await draft?.close();
await model.close();

/** The share of right guesses, each independent of the others, at which a step gives as many tokens as it takes steps' time. */
function breakEven(guesses: number, step: number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 50; i++) {
    const share = (low + high) / 2;
    let tokens = 0;
    for (let n = 0; n <= guesses; n++) tokens += share ** n;
    if (tokens < step) low = share;
    else high = share;
  }
  return high;
}
