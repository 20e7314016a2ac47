// What node-llama-cpp (llama.cpp's native code) makes of the GGUF files in a folder that `rwkv lab fidelity --keep FOLDER` wrote:
// node bench/peers/logits.mjs FOLDER. Beside each it leaves the logarithms of its probabilities, as f32; they differ from logits by a constant.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const folder = process.argv[2];
const texts = JSON.parse(readFileSync(join(folder, "tokens.json"), "utf8"));
const engine = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const { version } = JSON.parse(
  readFileSync(new URL("./node_modules/node-llama-cpp/package.json", import.meta.url), "utf8"),
);
for (const [name, ids] of Object.entries(texts)) {
  if (!name.endsWith(".gguf")) continue;
  const model = await engine.loadModel({ modelPath: join(folder, name) });
  const context = await model.createContext({ contextSize: 512 });
  const answers = await context
    .getSequence()
    .controlledEvaluate(ids.map((id) => [id, { generateNext: { probabilities: true } }]));
  const logits = answers.flatMap(({ next }) => {
    const row = [];
    for (const [id, probability] of next.probabilities) row[id] = Math.log(probability);
    return row;
  });
  writeFileSync(join(folder, `${name}.node-llama-cpp ${version}.logits`), Float32Array.from(logits));
  console.log(`${name}: ${ids.length} tokens, ${logits.length} numbers`);
  await context.dispose();
  await model.dispose();
}
process.exit(0);
