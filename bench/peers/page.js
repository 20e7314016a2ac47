// One side of a comparison in a page: page?side=ours|wllama&file=...&threads=...&weights=... sets `window.contestant`, whose
// functions answer with the milliseconds that the work took.
const { side, file, threads, weights } = Object.fromEntries(new URLSearchParams(location.search));
const ids = (count) => Array.from({ length: count }, (_, i) => 1 + ((i * 7919) % 60000));

async function ours() {
  const { load } = await import("/dist/web.js");
  const model = await load(file, { threads: Number(threads), weights: weights || undefined });
  const session = model.session();
  await session.feed([0]);
  const timed = async (work) => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };
  return {
    info: `${model.info.mode}, ${model.info.threads} threads, ${model.info.build}`,
    prefill: (count) => timed(() => session.feed(ids(count))),
    decode: (count) => timed(() => session.generate([], { maxTokens: count, temperature: 0, stopTokens: [] }).result),
  };
}

async function wllama() {
  const { Wllama } = await import("/bench/peers/node_modules/@wllama/wllama/esm/index.js");
  const engine = new Wllama(
    { default: "/bench/peers/node_modules/@wllama/wllama/esm/wasm/wllama.wasm" },
    { suppressNativeLog: true },
  );
  const blob = await (await fetch(file)).blob();
  await engine.loadModel([blob], {
    n_threads: Number(threads),
    n_ctx: 2048,
    n_batch: 512,
    n_gpu_layers: 0,
    warmup: false,
  });
  // Its own clock tells reading and writing apart. What it is asked to read is text: words of a vocabulary that is random to the model.
  let times = 0;
  // It cannot hand over bytes that are no text, which is what random weights write: here they always write "a".
  const run = (prompt, count) =>
    engine.createCompletion({
      prompt,
      max_tokens: count,
      temperature: 0,
      ignore_eos: true,
      cache_prompt: false,
      logit_bias: { 98: 1000 },
    });
  return {
    info: `${engine.isMultithread() ? engine.getNumThreads() : 1} threads`,
    async prefill(count) {
      times++;
      const words = Array.from({ length: count }, (_, i) => ` ${(i * 7919 + times) % 10}`).join("");
      const { timings } = await run(words, 1);
      return (timings.prompt_ms * count) / timings.prompt_n;
    },
    async decode(count) {
      const { timings } = await run(` ${times++}`, count);
      return (timings.predicted_ms * count) / timings.predicted_n;
    },
  };
}

try {
  window.contestant = await (side === "ours" ? ours() : wllama());
  console.log(`ready: ${window.contestant.info}`);
} catch (error) {
  console.log(`failed: ${error?.stack ?? error}`);
}
