// Makes an outlier twin of an RWKV-7 model in GGUF: the same function, but with a few channels much larger than the rest, as in
// large models. Quantising is easier on a small model than on a large one; its twin shows what to expect.
//
//   node scripts/run.mjs bench/outliers.ts --model model.gguf --output twin.gguf
//
// Two things leave the function as it is. ReLU squared is homogeneous: row j of channel mixing's key matrix may be multiplied by
// a if column j of its value matrix is divided by a². And a channel of a layer norm's weight and bias may be multiplied by c if
// the columns of all matrices that read it are divided by c; the token shift in between works on every channel by itself.
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { readPieces } from "../src/bytes/source.ts";
import { Converter, PIECE_NUMBERS } from "../src/engine/converter.ts";
import type { WeightType } from "../src/engine/weight-types.ts";
import { platform } from "../src/platform/node.ts";
import { bytesOf, DTYPES } from "../src/weights/dtype.ts";
import { type GgufTensor, readGguf } from "../src/weights/gguf.ts";
import { type GgufEntry, writeGguf } from "../src/weights/gguf-write.ts";
import { compiled } from "./lib/built.ts";
import { options } from "./lib/options.ts";

const chosen = options({ model: "weights/stories-7m.q8_0.gguf", output: "build/bench/twin.f16.gguf", seed: "1" });

/** Deviation of the factors' logarithms; how many channels, and what part of the rows, stick out, and by how much. */
const SPREAD = 0.5;
const CHANNELS_OUT = 3;
const CHANNEL_FACTOR = 15;
const ROWS_OUT = 1 / 200;
const ROW_FACTOR = 5.5;

let state = Number(chosen.seed) >>> 0;
/** From 0 up to 1: a linear congruence (Numerical Recipes), its upper bits. */
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) / 2 ** 24;
}

/** `count` log-normal factors, `out` of them `factor` times as large. */
function factors(count: number, out: number, factor: number): Float64Array {
  const bell = () => (random() + random() + random() + random() - 2) * Math.sqrt(3);
  const all = Float64Array.from({ length: count }, () => Math.exp(SPREAD * bell()));
  for (let i = 0; i < out; i++) all[Math.floor(random() * count)] *= factor;
  return all;
}

/** What a layer's tensors are multiplied by. */
interface Layer {
  /** Channels of the norms before time mixing and before channel mixing, and rows of channel mixing's key matrix. */
  time: Float64Array;
  channel: Float64Array;
  key: Float64Array;
}

const layers = new Map<number, Layer>();
/** Readers of the time mixing's norm. */
const READERS = /^time_mix_(receptance|key|value|[wavg]1)\.weight$/;

/** The factor of the number in a row and a column, or nothing for tensors that stay as they are. */
function scaleOf(tensor: GgufTensor): ((row: number, column: number) => number) | undefined {
  const [, number, name] = /^blk\.(\d+)\.(.+)$/.exec(tensor.name) ?? [];
  const layer = number === undefined ? undefined : layers.get(Number(number));
  if (!layer) return undefined;
  const { time, channel, key } = layer;
  if (/^attn_norm\.(weight|bias)$/.test(name)) return (_, column) => time[column];
  if (/^attn_norm_2\.(weight|bias)$/.test(name)) return (_, column) => channel[column];
  if (READERS.test(name)) return (_, column) => 1 / time[column];
  if (name === "channel_mix_key.weight") return (row, column) => key[row] / channel[column];
  if (name === "channel_mix_value.weight") return (_, column) => 1 / key[column] ** 2;
  return undefined;
}

const source = await platform.open(chosen.model);
const { metadata, tensors } = await readGguf(source);
if (metadata.get("general.architecture")?.value !== "rwkv7") throw new Error(`${chosen.model} is no RWKV-7 in GGUF.`);
for (const { name, dims } of tensors) {
  const [, number] = /^blk\.(\d+)\.channel_mix_key\.weight$/.exec(name) ?? [];
  if (number === undefined) continue;
  const [inputs, rows] = dims;
  layers.set(Number(number), {
    time: factors(inputs, CHANNELS_OUT, CHANNEL_FACTOR),
    channel: factors(inputs, CHANNELS_OUT, CHANNEL_FACTOR),
    key: factors(rows, Math.ceil(rows * ROWS_OUT), ROW_FACTOR),
  });
}

const converter = new Converter(compiled("plain"));
const entries = tensors.map((tensor): GgufEntry => {
  const { name, dims, dtype, offset, bytes } = tensor;
  const scale = scaleOf(tensor);
  // Quantised numbers cannot be rescaled as they are.
  const to = !scale || /^(f32|f16|bf16)$/.test(dtype) ? dtype : "f16";
  return {
    name,
    dims,
    dtype: to,
    async *data() {
      let at = 0;
      for await (const piece of readPieces(source, offset, bytes, undefined, bytesOf(dtype, PIECE_NUMBERS)!)) {
        if (!scale) {
          yield piece;
          continue;
        }
        const count = (piece.length / DTYPES[dtype].bytes) * DTYPES[dtype].values;
        const floats = new Float32Array(
          converter.convert(piece, dtype as WeightType, "f32", count).bytes.slice().buffer,
        );
        for (let i = 0; i < count; i++, at++) floats[i] *= scale(Math.floor(at / dims[0]), at % dims[0]);
        const { bytes: scaled, finite } = converter.convert(
          new Uint8Array(floats.buffer),
          "f32",
          to as WeightType,
          count,
        );
        if (!finite.after) throw new Error(`Tensor ${name} becomes too large for ${to}.`);
        yield scaled;
      }
    },
  };
});
await mkdir(dirname(chosen.output), { recursive: true });
const file = await open(chosen.output, "w");
await writeGguf(
  {
    async write(bytes) {
      await file.writeFile(bytes);
    },
  },
  metadata,
  entries,
);
await file.close();
await source.close();
console.log(`Written to ${chosen.output}: ${layers.size} layers rescaled.`);
