/**
 * GGML's block formats, slowly: what value i of a block is, by the place of its bits, and GGML's reference quantisers. Written
 * from ggml's definitions (ggml-common.h, ggml-quants.c of github.com/ggml-org/llama.cpp); shares no code with assembly/.
 */
import * as ops from "../../assembly/ops.ts";
import type { DType } from "../../src/types.ts";
import { decode, encode, F16, nearestAway } from "./reference.ts";

const f = Math.fround;

/** A value is f32(code * scale) + minimum. `under`: how many values share a scale. */
export interface Value {
  code: number;
  scale: number;
  minimum: number;
}

export interface Format {
  name: DType | "q7_0";
  id: number;
  /** Values and bytes of a block. */
  values: number;
  bytes: number;
  /** Where in a block the f16 are (q7_0: the f32) that everything is multiplied by. */
  scales: readonly number[];
  /** A TILE_* number: what a tile of the packed weights holds beside the codes. */
  tile: number;
  /** Value i of the block at `at`. */
  value(block: DataView, at: number, i: number): Value;
}

const half = (block: DataView, at: number) => decode(F16, block.getUint16(at, true));
/** `count` bits, from bit `from` of byte `at` on. */
const bits = (block: DataView, at: number, from: number, count: number) =>
  (block.getUint8(at) >> from) & (2 ** count - 1);
/** Formats of 32 values keep value i and value i + 16 in one byte. */
const nibble = (block: DataView, at: number, i: number) => bits(block, at + (i % 16), i < 16 ? 0 : 4, 4);
/** One of 32 bits. */
const bit = (block: DataView, at: number, i: number) => bits(block, at + (i >> 3), i & 7, 1);
/** Formats of 256 values keep four, 32 apart, in the bit pairs of one byte, or two, 32 apart, in its nibbles. */
const pairOf = (block: DataView, at: number, i: number) =>
  bits(block, at + 32 * (i >> 7) + (i & 31), 2 * ((i >> 5) & 3), 2);
const nibbleOf = (block: DataView, at: number, i: number) =>
  bits(block, at + 32 * (i >> 6) + (i & 31), 4 * ((i >> 5) & 1), 4);

const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const symmetric = (code: number, scale: number): Value => ({ code, scale: f(scale), minimum: 0 });
/** ggml takes a minimum away that it stores as a positive number. */
const lowered = (code: number, scale: number, minimum: number): Value => ({
  code,
  scale: f(scale),
  minimum: -f(minimum),
});

/** The 6-bit scale and minimum j of q4_k and q5_k: the first four lie open, the others in nibbles and spare bit pairs. */
function sixes(block: DataView, at: number, j: number): [scale: number, minimum: number] {
  if (j < 4) return [bits(block, at + j, 0, 6), bits(block, at + 4 + j, 0, 6)];
  return [
    bits(block, at + 4 + j, 0, 4) + 16 * bits(block, at + j - 4, 6, 2),
    bits(block, at + 4 + j, 4, 4) + 16 * bits(block, at + j, 6, 2),
  ];
}

const { TILE_SYMMETRIC, TILE_MINIMUM, TILE_HALVES } = ops;

export const FORMATS: readonly Format[] = [
  {
    ...{ name: "q4_0", id: ops.T_Q4_0, values: 32, bytes: 18, scales: [0], tile: TILE_SYMMETRIC },
    value: (b, at, i) => symmetric(nibble(b, at + 2, i) - 8, half(b, at)),
  },
  {
    ...{ name: "q4_1", id: ops.T_Q4_1, values: 32, bytes: 20, scales: [0, 2], tile: TILE_MINIMUM },
    value: (b, at, i) => ({ code: nibble(b, at + 4, i), scale: half(b, at), minimum: half(b, at + 2) }),
  },
  {
    ...{ name: "q5_0", id: ops.T_Q5_0, values: 32, bytes: 22, scales: [0], tile: TILE_SYMMETRIC },
    value: (b, at, i) => symmetric(nibble(b, at + 6, i) + 16 * bit(b, at + 2, i) - 16, half(b, at)),
  },
  {
    ...{ name: "q5_1", id: ops.T_Q5_1, values: 32, bytes: 24, scales: [0, 2], tile: TILE_MINIMUM },
    value: (b, at, i) => ({
      code: nibble(b, at + 8, i) + 16 * bit(b, at + 4, i),
      scale: half(b, at),
      minimum: half(b, at + 2),
    }),
  },
  {
    ...{ name: "q8_0", id: ops.T_Q8_0, values: 32, bytes: 34, scales: [0], tile: TILE_SYMMETRIC },
    value: (b, at, i) => symmetric(b.getInt8(at + 2 + i), half(b, at)),
  },
  {
    ...{ name: "q7_0", id: ops.T_Q7_0, values: 32, bytes: 36, scales: [0], tile: TILE_SYMMETRIC },
    value: (b, at, i) => symmetric(b.getInt8(at + 4 + i), b.getFloat32(at, true)),
  },
  {
    ...{ name: "q2_k", id: ops.T_Q2_K, values: 256, bytes: 84, scales: [80, 82], tile: TILE_HALVES },
    value: (b, at, i) => {
      const [scale, minimum] = [bits(b, at + (i >> 4), 0, 4), bits(b, at + (i >> 4), 4, 4)];
      return lowered(pairOf(b, at + 16, i), half(b, at + 80) * scale, half(b, at + 82) * minimum);
    },
  },
  {
    ...{ name: "q3_k", id: ops.T_Q3_K, values: 256, bytes: 110, scales: [108], tile: TILE_HALVES },
    value: (b, at, i) => {
      const j = i >> 4;
      const scale = bits(b, at + 96 + (j & 7), j < 8 ? 0 : 4, 4) + 16 * bits(b, at + 104 + (j & 3), 2 * (j >> 2), 2);
      const code = pairOf(b, at + 32, i) + 4 * bits(b, at + (i & 31), i >> 5, 1) - 4;
      return symmetric(code, half(b, at + 108) * (scale - 32));
    },
  },
  {
    ...{ name: "q4_k", id: ops.T_Q4_K, values: 256, bytes: 144, scales: [0, 2], tile: TILE_MINIMUM },
    value: (b, at, i) => {
      const [scale, minimum] = sixes(b, at + 4, i >> 5);
      return lowered(nibbleOf(b, at + 16, i), half(b, at) * scale, half(b, at + 2) * minimum);
    },
  },
  {
    ...{ name: "q5_k", id: ops.T_Q5_K, values: 256, bytes: 176, scales: [0, 2], tile: TILE_MINIMUM },
    value: (b, at, i) => {
      const [scale, minimum] = sixes(b, at + 4, i >> 5);
      const code = nibbleOf(b, at + 48, i) + 16 * bits(b, at + 16 + (i & 31), i >> 5, 1);
      return lowered(code, half(b, at) * scale, half(b, at + 2) * minimum);
    },
  },
  {
    ...{ name: "q6_k", id: ops.T_Q6_K, values: 256, bytes: 210, scales: [208], tile: TILE_HALVES },
    value: (b, at, i) => {
      // Within 128 values the first 64 take the low nibbles of 64 bytes, the others the high ones.
      const low = bits(b, at + 64 * (i >> 7) + (i & 63), 4 * ((i >> 6) & 1), 4);
      return symmetric(low + 16 * pairOf(b, at + 128, i) - 32, half(b, at + 208) * b.getInt8(at + 192 + (i >> 4)));
    },
  },
  {
    ...{ name: "iq4_nl", id: ops.T_IQ4_NL, values: 32, bytes: 18, scales: [0], tile: TILE_SYMMETRIC },
    value: (b, at, i) => symmetric(IQ4[nibble(b, at + 2, i)], half(b, at)),
  },
  {
    ...{ name: "iq4_xs", id: ops.T_IQ4_XS, values: 256, bytes: 136, scales: [0], tile: TILE_SYMMETRIC },
    value: (b, at, i) => {
      const j = i >> 5;
      const scale = bits(b, at + 4 + (j >> 1), 4 * (j & 1), 4) + 16 * bits(b, at + 2 + (j >> 2), 2 * (j & 3), 2);
      return symmetric(IQ4[nibble(b, at + 8 + 16 * j, i & 31)], half(b, at) * (scale - 32));
    },
  },
];

/** The format of that name. */
export const formatOf = (name: string): Format => FORMATS.find((format) => format.name === name)!;

/** Bytes of one row. */
export const rowBytes = ({ values, bytes }: Format, columns: number): number => Math.ceil(columns / values) * bytes;

/** Value i of a row that starts at `at`. */
export const valueAt = (format: Format, file: DataView, at: number, i: number): Value =>
  format.value(file, at + Math.floor(i / format.values) * format.bytes, i % format.values);

/** The f32 that a value decodes to. */
export const meant = ({ code, scale, minimum }: Value): number => f(f(code * scale) + minimum);

// --- Quantisers ----------------------------------------------------------------------------------------------------------

/** 1 / d; 0 where f16 makes d 0 and the inverse might be infinite, so that codes are those of 0. */
const inverse = (d: number) => (Math.abs(d) > f(1e-37) ? f(1 / d) : 0);

/** One block of 32 values as GGML's reference quantisers make it; q7_0 as docs/numerics.md defines it. */
export function quantizeBlock(name: string, x: ArrayLike<number>): Uint8Array {
  const format = formatOf(name);
  const block = new DataView(new ArrayBuffer(format.bytes));
  const values = Array.from({ length: 32 }, (_, i) => x[i]);
  const top = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  if (name === "q8_0" || name === "q7_0") {
    const d = f(top / (name === "q8_0" ? 127 : 63));
    const id = inverse(d);
    if (name === "q8_0") block.setUint16(0, encode(F16, d), true);
    else block.setFloat32(0, id === 0 ? 0 : d, true);
    values.forEach((v, i) => void block.setInt8(format.bytes - 32 + i, nearestAway(f(v * id))));
    return new Uint8Array(block.buffer);
  }
  const five = name.startsWith("q5");
  const codes = five ? 32 : 16;
  let codeOf: (v: number) => number;
  if (name.endsWith("_0")) {
    // The first of the largest gets the lowest code. Where all are 0 or -0 it counts as 0, and the scale is -0.
    const most = top === 0 ? 0 : values.find((v) => Math.abs(v) === top)!;
    const d = f(most / -(codes / 2));
    const id = inverse(d);
    block.setUint16(0, encode(F16, d), true);
    codeOf = (v) => Math.trunc(f(f(v * id) + codes / 2 + 0.5));
  } else {
    const low = Math.min(...values);
    const d = f(f(Math.max(...values) - low) / (codes - 1));
    const id = inverse(d);
    block.setUint16(0, encode(F16, d), true);
    block.setUint16(2, encode(F16, low), true);
    codeOf = (v) => Math.trunc(f(f(f(v - low) * id) + 0.5));
  }
  values.forEach((v, i) => {
    const code = Math.min(codes - 1, codeOf(v));
    const at = format.bytes - 16 + (i % 16);
    block.setUint8(at, block.getUint8(at) + (code % 16) * (i < 16 ? 1 : 16));
    const high = format.bytes - 20 + (i >> 3);
    if (five) block.setUint8(high, block.getUint8(high) + (code >> 4) * 2 ** (i & 7));
  });
  return new Uint8Array(block.buffer);
}

/** The types that there is a quantiser for. */
export const QUANTIZED = ["q8_0", "q7_0", "q5_1", "q5_0", "q4_1", "q4_0"] as const;
