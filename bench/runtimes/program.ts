/** What each runtime is asked to do, with the shipped model: load, write a first token, read a prompt, write a text. Prints what it took. */
import { load } from "rwkv-wasm";
import { at } from "../../test/files.ts";

/** Tokens of the prompt, and of the text. */
const PROMPT = 512;
const TEXT = 200;
/** The best of so many: others on the machine only ever make it slower. */
const RUNS = 3;

const model = await load(at("weights/stories-7m.q8_0.gguf"));
for await (const _ of model.generate("Once upon a time", { maxTokens: 1, temperature: 0 }));
// Since the process, or the page, began; where there is no such time, the one who asks takes it.
const first = performance.now();

const ids = Uint32Array.from({ length: PROMPT }, (_, i) => (i * 37 + 11) % 4096);
let [prefill, decode] = [0, 0];
for (let run = 0; run < RUNS; run++) {
  const session = model.session();
  const start = performance.now();
  await session.feed(ids);
  const between = performance.now();
  await session.generate([], { maxTokens: TEXT, stopTokens: [] }).result;
  const end = performance.now();
  prefill = Math.max(prefill, (PROMPT * 1000) / (between - start));
  decode = Math.max(decode, (TEXT * 1000) / (end - between));
  await session.close();
}
const { mode, threads, build } = model.info;
console.log(`measured: ${JSON.stringify({ first, prefill, decode, how: `${mode} ${threads} ${build}` })}`);
await model.close();
// Where programs do not end, this says that it has.
console.log("  Duration: 0");
