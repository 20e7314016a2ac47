// Writes an RWKV-7 model with random weights, for measuring sizes that nobody should have to download.
//
//   node scripts/run.mjs bench/synthetic.ts --size 0.1B --type q8_0 --output build/bench/0.1B.q8_0.gguf
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { SIZES, type SizeName } from "../src/lab/synthetic.ts";
import { writeSynthetic } from "../src/lab/synthetic-file.ts";
import { CONVERT_TYPES } from "../src/model/to-gguf.ts";
import { compiled } from "./lib/built.ts";
import { options, refuse } from "./lib/options.ts";

const chosen = options(
  { size: "0.1B", type: "q8_0", output: "", seed: "1" },
  { size: Object.keys(SIZES), type: CONVERT_TYPES },
);
const type = CONVERT_TYPES.find((one) => one === chosen.type) ?? refuse("--type takes one type");
if (!Object.hasOwn(SIZES, chosen.size)) refuse("--size takes one size");
const path = chosen.output || `build/bench/${chosen.size}.${type}.gguf`;
await mkdir(dirname(path), { recursive: true });
await writeSynthetic(path, chosen.size, SIZES[chosen.size as SizeName], type, {
  kernels: compiled("plain"),
  vocabulary: new Uint8Array(await readFile("weights/world.vocab")),
  seed: Number(chosen.seed),
});
console.log(path);
