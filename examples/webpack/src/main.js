import { load } from "rwkv-wasm";
import url from "rwkv-wasm/weights/stories-7m.q8_0.gguf";

const [info, story] = ["info", "story"].map((id) => document.getElementById(id));
const model = await load(url);
info.textContent = `${model.info.name}: ${model.info.mode}, ${model.info.threads} threads`;
for await (const { text } of model.generate("Once upon a time", { maxTokens: 60, seed: 7 })) story.textContent += text;
story.dataset.done = "";
