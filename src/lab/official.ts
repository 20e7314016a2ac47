/** Small models that the experiments write themselves: tensors with official names and shapes, as a safetensors file in memory. */

import { type SafetensorsEntry, writeSafetensors } from "../weights/safetensors-write.ts";

/** Versions as the papers and the checkpoints count them. */
export const VERSIONS = ["4", "5.0", "5.1", "5.2", "6", "7"] as const;
export type Version = (typeof VERSIONS)[number];

export type Checkpoint = Map<string, { shape: readonly number[]; numbers: Float32Array<ArrayBuffer> }>;

export async function safetensorsOf(checkpoint: Checkpoint): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const sink = { write: async (bytes: Uint8Array) => void parts.push(bytes.slice()) };
  const entries = Array.from(checkpoint, ([name, { shape, numbers }]): SafetensorsEntry => {
    const view = new DataView(new ArrayBuffer(numbers.length * 4));
    numbers.forEach((n, i) => {
      view.setFloat32(i * 4, n, true);
    });
    return { name, dtype: "f32", shape, data: () => [new Uint8Array(view.buffer)] };
  });
  await writeSafetensors(sink, { format: "pt" }, entries);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** What fills a model: the plan of names and shapes is the same whether numbers are drawn or set by hand. */
export interface Sizes {
  version: Version;
  layers: number;
  /** Heads of `size` channels each. */
  heads: number;
  size: number;
  ffn: number;
  vocab: number;
}

/** A model with seeded random weights, on such scales that every tensor matters. All numbers are exact in bf16. */
export function randomCheckpoint(sizes: Sizes, seed: number): Checkpoint {
  const { version, layers, heads: H, size: N, ffn: F, vocab: V } = sizes;
  const C = H * N;
  const random = randomFrom(seed);
  const checkpoint: Checkpoint = new Map();
  const put = (name: string, shape: number[], draw: () => number) => {
    const numbers = new Float32Array(shape.reduce((product, n) => product * n, 1)).map(draw);
    checkpoint.set(name, { shape, numbers: toBf16(numbers) });
  };
  // Four uniform numbers added up are nearly normal.
  const normal = (deviation: number, mean = 0) => {
    const scale = deviation * Math.sqrt(3);
    return () => mean + (random() + random() + random() + random() - 2) * scale;
  };
  const uniform = (low: number, high: number) => () => low + (high - low) * random();
  const matrix = (name: string, rows: number, columns: number, gain = 1) =>
    put(name, [rows, columns], normal(gain / Math.sqrt(columns)));
  const norm = (name: string) => {
    put(`${name}.weight`, [C], normal(0.2, 1));
    put(`${name}.bias`, [C], normal(0.1));
  };
  const mixes = (prefix: string, letters: string) => {
    for (const c of letters) put(prefix + c, [1, 1, C], uniform(0, 1));
  };
  const gated = version === "5.1" || version === "5.2" || version === "6";

  put("emb.weight", [V, C], normal(0.5));
  norm("blocks.0.ln0");
  for (let i = 0; i < layers; i++) {
    const [att, ffn] = [`blocks.${i}.att.`, `blocks.${i}.ffn.`];
    norm(`blocks.${i}.ln1`);
    norm(`blocks.${i}.ln2`);
    for (const name of ["receptance", "key", "value", "output"]) matrix(`${att}${name}.weight`, C, C);
    if (gated) matrix(`${att}gate.weight`, C, C);
    if (version !== "4") norm(`${att}ln_x`);
    if (version === "6") {
      mixes(`${att}time_maa_`, "xwkvrg");
      mixes(`${ffn}time_maa_`, "kr");
      put(`${att}time_maa_w1`, [C, 5 * 32], normal(1 / Math.sqrt(C)));
      put(`${att}time_maa_w2`, [5, 32, C], normal(0.1));
      put(`${att}time_decay_w1`, [C, 64], normal(1 / Math.sqrt(C)));
      put(`${att}time_decay_w2`, [64, C], normal(0.3));
      put(`${att}time_decay`, [1, 1, C], uniform(-5, 0));
      put(`${att}time_faaaa`, [H, N], normal(0.5));
    } else if (version === "7") {
      mixes(`${att}x_`, "rwkvag");
      mixes(`${ffn}x_`, "k");
      for (const [c, rank] of [
        ["w", 32],
        ["a", 32],
        ["v", 32],
        ["g", 64],
      ] as const) {
        if (c === "v" && i === 0) continue;
        put(`${att}${c}1`, [C, rank], normal(1 / Math.sqrt(C)));
        put(`${att}${c}2`, [rank, C], normal(1.5 / Math.sqrt(rank)));
        if (c !== "g") put(`${att}${c}0`, [1, 1, C], c === "w" ? uniform(-4, 1) : uniform(-1, 1));
      }
      put(`${att}k_k`, [1, 1, C], normal(0.2, 0.9));
      put(`${att}k_a`, [1, 1, C], normal(0.2, 1));
      put(`${att}r_k`, [H, N], normal(0.2));
    } else {
      mixes(`${att}time_mix_`, gated ? "kvrg" : "kvr");
      mixes(`${ffn}time_mix_`, "kr");
      const shape = version === "4" ? [C] : version === "5.2" ? [H, N] : [H];
      put(`${att}time_decay`, shape, uniform(-5, version === "4" ? 1 : 0));
      put(`${att}${version === "5.2" ? "time_faaaa" : "time_first"}`, shape, normal(version === "4" ? 1 : 0.5));
    }
    matrix(`${ffn}key.weight`, F, C);
    matrix(`${ffn}value.weight`, C, F);
    if (version !== "7") matrix(`${ffn}receptance.weight`, C, C);
  }
  norm("ln_out");
  matrix("head.weight", V, C, 2);
  return checkpoint;
}

/** Numbers from 0 to 1, the same for the same seed in every runtime: the top 24 bits of xorshift32 (Marsaglia 2003). */
export function randomFrom(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 8) / 2 ** 24;
  };
  for (let i = 0; i < 8; i++) next();
  return next;
}

/** Cut to the precision of bf16, in place. */
function toBf16(numbers: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(numbers.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] &= 0xffff0000;
  return numbers;
}
