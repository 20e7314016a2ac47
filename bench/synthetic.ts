// Writes an RWKV-7 model with random weights, for measuring sizes that nobody should have to download. The statistics are
// those of a trained model as far as speed and overflow care: no number is far from what a checkpoint has in its place, and all are
// bf16 as checkpoints are.
//
//   node scripts/run.mjs bench/synthetic.ts --size 0.1B --type q8_0 --output build/bench/0.1B.q8_0.gguf
import { mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { convert } from "../src/model/convert.ts";
import { CONVERT_TYPES, type ConvertType } from "../src/model/to-gguf.ts";
import { unpackVocabulary } from "../src/text/packed.ts";
import type { Source, TensorFile, TensorInfo } from "../src/types.ts";
import { compiled } from "./lib/built.ts";
import { options } from "./lib/options.ts";

const chosen = options({ size: "0.1B", type: "q8_0", output: "", seed: "1" });

/** Layers, width, and the ranks of the low-rank maps w, a, v, g, as the official models of these sizes have them. */
const SIZES: Readonly<Record<string, { layers: number; width: number; ranks: Record<string, number> }>> = {
  "0.1B": { layers: 12, width: 768, ranks: { w: 64, a: 64, v: 32, g: 128 } },
  "0.4B": { layers: 24, width: 1024, ranks: { w: 64, a: 64, v: 32, g: 128 } },
  "1.5B": { layers: 24, width: 2048, ranks: { w: 96, a: 96, v: 64, g: 256 } },
  "2.9B": { layers: 32, width: 2560, ranks: { w: 96, a: 96, v: 64, g: 320 } },
};
const VOCABULARY = 65536;
const HEAD_SIZE = 64;

const size = SIZES[chosen.size];
const type = CONVERT_TYPES.find((one) => one === chosen.type);
if (!size || !type) {
  console.error(`--size is one of ${Object.keys(SIZES).join(", ")}, --type one of ${CONVERT_TYPES.join(", ")}`);
  process.exit(2);
}
await write(size, type, chosen.output || `build/bench/${chosen.size}.${type}.gguf`);

async function write({ layers, width, ranks }: (typeof SIZES)[string], type: ConvertType, path: string): Promise<void> {
  const tensors = new Map<string, TensorInfo>();
  const add = (name: string, shape: number[], deviation: number, mean = 0) => {
    const bytes = 2 * shape.reduce((a, b) => a * b, 1);
    const source = random(name, bytes, deviation, mean);
    tensors.set(name, { name, fileName: name, dtype: "bf16", shape, transposed: false, source, offset: 0, bytes });
  };
  const matrix = (name: string, rows: number, columns: number, gain = 1) =>
    add(name, [rows, columns], gain / Math.sqrt(columns));
  const norm = (name: string) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.05);
  };
  matrix("emb.weight", VOCABULARY, width);
  norm("blocks.0.ln0");
  for (let i = 0; i < layers; i++) {
    const [block, att, ffn] = [`blocks.${i}`, `blocks.${i}.att.`, `blocks.${i}.ffn.`];
    norm(`${block}.ln1`);
    norm(`${block}.ln2`);
    for (const name of ["receptance", "key", "value", "output"]) matrix(`${att}${name}.weight`, width, width, 0.5);
    for (const c of "rwkvag") add(`${att}x_${c}`, [width], 0.2, 0.5);
    for (const [c, rank] of Object.entries(ranks)) {
      if (c === "v" && i === 0) continue;
      matrix(`${att}${c}1`, rank, width, 0.5);
      matrix(`${att}${c}2`, width, rank, 0.5);
      if (c !== "g") add(`${att}${c}0`, [width], 0.5, c === "w" ? -2 : 0);
    }
    add(`${att}k_k`, [width], 0.1, 0.85);
    add(`${att}k_a`, [width], 0.1, 1);
    add(`${att}r_k`, [width / HEAD_SIZE, HEAD_SIZE], 0.1);
    norm(`${att}ln_x`);
    add(`${ffn}x_k`, [width], 0.2, 0.5);
    matrix(`${ffn}key.weight`, 4 * width, width, 0.5);
    matrix(`${ffn}value.weight`, width, 4 * width, 0.5);
  }
  norm("ln_out");
  matrix("head.weight", VOCABULARY, width);

  const file: TensorFile = {
    name: `synthetic-${chosen.size.replace(".", "_")}`,
    container: "safetensors",
    tensors,
    unknown: [],
    facts: new Map([["general.name", `synthetic ${chosen.size}`]]),
    close: async () => {},
  };
  const world = await unpackVocabulary(new Uint8Array(await readFile("weights/world.vocab")));
  const tokens = Array.from({ length: VOCABULARY }, (_, id) => world.tokens[id] ?? new Uint8Array());
  await mkdir(dirname(path), { recursive: true });
  const output = await open(path, "w");
  const sink = { write: async (bytes: Uint8Array) => void (await output.write(bytes)) };
  const vocabulary = async () => ({ ...world, tokens });
  await convert(file, sink, compiled("plain"), { container: "gguf", type, vocabulary });
  await output.close();
  console.log(path);
}

/** A file of bf16 that are made up as they are read: four uniform numbers added up, the same for the same place in it. */
function random(name: string, size: number, deviation: number, mean: number): Source {
  let seed = Number(chosen.seed);
  for (const letter of name) seed = (Math.imul(seed, 31) + letter.charCodeAt(0)) >>> 0;
  return {
    name,
    size,
    async read(offset, length) {
      const numbers = new Float32Array(length / 2);
      const scale = (deviation * Math.sqrt(3)) / 2 ** 8;
      for (let i = 0; i < numbers.length; i++) {
        let x = Math.imul((offset / 2 + i) ^ seed, 0x9e3779b1);
        x = Math.imul(x ^ (x >>> 15), 0x85ebca77);
        x ^= x >>> 13;
        numbers[i] = mean + ((x & 255) + ((x >>> 8) & 255) + ((x >>> 16) & 255) + (x >>> 24) - 510) * scale;
      }
      return new Uint8Array(Uint16Array.from(new Uint32Array(numbers.buffer), (bits) => bits >>> 16).buffer);
    },
    close: async () => {},
  };
}
