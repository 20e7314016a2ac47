// Everything in one file: the workers' script, the kernels, the World vocabulary.
import { load } from "rwkv-wasm/inline";

const [info, story] = ["info", "story"].map((id) => document.getElementById(id));
const model = await load("stories-7m.q8_0.gguf");
info.textContent = `${model.info.name}: ${model.info.mode}, ${model.info.threads} threads`;
for await (const { text } of model.generate("Once upon a time", { maxTokens: 60, seed: 7 })) story.textContent += text;
story.dataset.done = "";
