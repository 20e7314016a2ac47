/**
 * Models with random weights, for measuring what nobody should have to download. The statistics are those of a trained model as far as
 * speed and overflow care: no number is far from what a checkpoint has in its place, and all are bf16 as checkpoints are. The numbers
 * are made up as they are read, the same for the same seed.
 */

import type { Source, TensorFile, TensorInfo } from "../types.ts";

export interface Shape {
  layers: number;
  /** A multiple of 64. */
  width: number;
  vocab: number;
}

/** The official models of RWKV-7, by their names. */
export const SIZES = {
  "0.1B": { layers: 12, width: 768 },
  "0.4B": { layers: 24, width: 1024 },
  "1.5B": { layers: 24, width: 2048 },
  "2.9B": { layers: 32, width: 2560 },
} as const satisfies Record<string, Omit<Shape, "vocab">>;
export type SizeName = keyof typeof SIZES;
/** Tokens of the World vocabulary, rounded up as the models' tables are. */
export const WORLD = 65536;

export const HEAD_SIZE = 64;
/** All have four times the width inside their channel mixing. */
export const ffnOf = (width: number): number => 4 * width;

export const VERSIONS = ["4", "5", "6", "7"] as const;
export type Kind = (typeof VERSIONS)[number] | "transformer";

/** The ranks of RWKV-7's low-rank maps, as the official models have them. */
function ranksOf(width: number): Record<"w" | "a" | "v" | "g", number> {
  if (width < 2048) return { w: 64, a: 64, v: 32, g: 128 };
  return { w: 96, a: 96, v: 64, g: width < 2560 ? 256 : 320 };
}
/** Those of RWKV-6's token shift and of its decay. */
const SHIFT_RANK = 32;
const DECAY_RANK = 64;

/** A model of one version, or a Transformer with the same sizes, as a file that is nowhere. */
export function synthetic(kind: Kind, { layers, width, vocab }: Shape, name: string, seed = 1): TensorFile {
  const tensors = new Map<string, TensorInfo>();
  const add = (name: string, shape: number[], deviation: number, mean = 0) => {
    const bytes = 2 * shape.reduce((a, b) => a * b, 1);
    const source = random(name, bytes, deviation, mean, seed);
    tensors.set(name, { name, fileName: name, dtype: "bf16", shape, transposed: false, source, offset: 0, bytes });
  };
  const matrix = (name: string, rows: number, columns: number, gain = 1) =>
    add(name, [rows, columns], gain / Math.sqrt(columns));
  const norm = (name: string) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.05);
  };
  const heads = [width / HEAD_SIZE, HEAD_SIZE];
  const mixes = (prefix: string, letters: string) => {
    for (const letter of letters) add(prefix + letter, [width], 0.2, 0.5);
  };

  /** What a layer has beside its square matrices, its channel mixing and its norms. */
  const timeMixing: Record<Kind, (att: string, ffn: string, layer: number) => void> = {
    4: (att, ffn) => {
      mixes(`${att}time_mix_`, "kvr");
      mixes(`${ffn}time_mix_`, "kr");
      add(`${att}time_decay`, [width], 1, -1);
      add(`${att}time_first`, [width], 0.3);
    },
    5: (att, ffn) => {
      mixes(`${att}time_mix_`, "kvrg");
      mixes(`${ffn}time_mix_`, "kr");
      matrix(`${att}gate.weight`, width, width, 0.5);
      add(`${att}time_decay`, heads, 1, -2);
      add(`${att}time_faaaa`, heads, 0.3);
      norm(`${att}ln_x`);
    },
    6: (att, ffn) => {
      mixes(`${att}time_maa_`, "xwkvrg");
      mixes(`${ffn}time_maa_`, "kr");
      matrix(`${att}gate.weight`, width, width, 0.5);
      matrix(`${att}time_maa_w1`, 5 * SHIFT_RANK, width, 0.5);
      add(`${att}time_maa_w2`, [5, width, SHIFT_RANK], 0.5 / Math.sqrt(SHIFT_RANK));
      matrix(`${att}time_decay_w1`, DECAY_RANK, width, 0.5);
      matrix(`${att}time_decay_w2`, width, DECAY_RANK, 0.5);
      add(`${att}time_decay`, [width], 1, -2);
      add(`${att}time_faaaa`, heads, 0.3);
      norm(`${att}ln_x`);
    },
    7: (att, ffn, layer) => {
      mixes(`${att}x_`, "rwkvag");
      for (const [letter, rank] of Object.entries(ranksOf(width))) {
        if (letter === "v" && layer === 0) continue;
        matrix(`${att}${letter}1`, rank, width, 0.5);
        matrix(`${att}${letter}2`, width, rank, 0.5);
        if (letter !== "g") add(`${att}${letter}0`, [width], 0.5, letter === "w" ? -2 : 0);
      }
      add(`${att}k_k`, [width], 0.1, 0.85);
      add(`${att}k_a`, [width], 0.1, 1);
      add(`${att}r_k`, heads, 0.1);
      norm(`${att}ln_x`);
      mixes(`${ffn}x_`, "k");
    },
    transformer: () => {},
  };

  matrix("emb.weight", vocab, width);
  norm("blocks.0.ln0");
  for (let i = 0; i < layers; i++) {
    const [block, att, ffn] = [`blocks.${i}`, `blocks.${i}.att.`, `blocks.${i}.ffn.`];
    norm(`${block}.ln1`);
    norm(`${block}.ln2`);
    // What a Transformer calls a query is the receptance.
    for (const name of ["receptance", "key", "value", "output"]) matrix(`${att}${name}.weight`, width, width, 0.5);
    timeMixing[kind](att, ffn, i);
    matrix(`${ffn}key.weight`, ffnOf(width), width, 0.5);
    matrix(`${ffn}value.weight`, width, ffnOf(width), 0.5);
    if (kind === "4" || kind === "5" || kind === "6") matrix(`${ffn}receptance.weight`, width, width, 0.5);
  }
  norm("ln_out");
  matrix("head.weight", vocab, width);
  return {
    name: name.replaceAll(/[^\w-]+/g, "_"),
    container: "safetensors",
    tensors,
    unknown: [],
    facts: new Map([["general.name", name]]),
    close: async () => {},
  };
}

/** A file of bf16 that are made up as they are read: four uniform numbers added up, the same for the same place in it. */
function random(name: string, size: number, deviation: number, mean: number, first: number): Source {
  let seed = first;
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
      const bits = new Uint32Array(numbers.buffer);
      const halves = new Uint16Array(bits.length);
      for (let i = 0; i < bits.length; i++) halves[i] = bits[i]! >>> 16;
      return new Uint8Array(halves.buffer);
    },
    close: async () => {},
  };
}
