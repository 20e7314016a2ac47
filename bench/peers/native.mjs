// One side of a comparison as a process of its own: node native.mjs ours|node-llama-cpp FILE THREADS [WEIGHTS]. Every line of
// its input asks for work, `prefill N` or `decode N`, and is answered with the milliseconds it took.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [side, file, threads, weights] = process.argv.slice(2);
const ids = (count) => Array.from({ length: count }, (_, i) => 1 + ((i * 7919) % 60000));

async function ours() {
  const { load } = await import(pathToFileURL("dist/index.js").href);
  const model = await load(file, { threads: Number(threads), weights: weights || undefined });
  const session = model.session();
  await session.feed([0]);
  return {
    prefill: async (count) => void (await session.feed(ids(count))),
    decode: async (count) =>
      void (await session.generate([], { maxTokens: count, temperature: 0, stopTokens: [] }).result),
  };
}

async function llama() {
  const { getLlama, LlamaLogLevel } = await import("node-llama-cpp");
  const engine = await getLlama({
    gpu: false,
    build: "never",
    maxThreads: Number(threads),
    logLevel: LlamaLogLevel.error,
  });
  const model = await engine.loadModel({ modelPath: file });
  const context = await model.createContext({ contextSize: 2048, batchSize: 512, threads: Number(threads) });
  const sequence = context.getSequence();
  return {
    async prefill(count) {
      await sequence.clearHistory();
      const start = performance.now();
      await sequence.evaluateWithoutGeneratingNewTokens(ids(count));
      return performance.now() - start;
    },
    async decode(count) {
      await sequence.clearHistory();
      await sequence.evaluateWithoutGeneratingNewTokens(ids(1));
      const start = performance.now();
      let made = 0;
      for await (const _ of sequence.evaluate(ids(1), { temperature: 0 })) if (++made === count) break;
      // A model with random weights may end its text early.
      return ((performance.now() - start) * count) / made;
    },
  };
}

const contestant = await (side === "ours" ? ours() : llama());
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [work, count] = line.split(" ");
  const start = performance.now();
  const own = await contestant[work](Number(count));
  console.log(own ?? performance.now() - start);
}
process.exit(0);
