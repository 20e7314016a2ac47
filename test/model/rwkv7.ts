/**
 * RWKV-7 slowly, one token at a time, in two arithmetics: rounded to f32 after every operation in the order of docs/numerics.md,
 * so that logits can be compared bit by bit; or in float64, with or without quantising the activations, to tell what that costs.
 */
import { TILE_HALVES, TILE_SYMMETRIC } from "../../assembly/ops.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import type { TensorInfo } from "../../src/types.ts";
import { openWeights } from "../../src/weights/open.ts";
import { type Format, formatOf, meant, valueAt } from "../kernels/formats.ts";
import { apply } from "../kernels/lanes.ts";
import { BF16, decode, exactNorm, F16, norm, quantizeActivations, sum4 } from "../kernels/reference.ts";

type Numbers = Float32Array | Float64Array;

export interface Arithmetic {
  round(x: number): number;
  vector(count: number): Numbers;
  exp(x: Numbers): Numbers;
  tanh(x: Numbers): Numbers;
  sigmoid(x: Numbers): Numbers;
  /** Where the order counts: four sums. */
  sum(count: number, term: (i: number) => number): number;
  norm(x: Numbers, weight: Float32Array, bias: Float32Array, eps: number): Numbers;
  /** Whether quantised weights meet quantised activations. */
  quantized: boolean;
}

/** As the engine rounds. */
export const F32: Arithmetic = {
  round: Math.fround,
  vector: (count) => new Float32Array(count),
  exp: (x) => apply("exp4", x),
  tanh: (x) => apply("tanh4", x),
  sigmoid: (x) => apply("sigmoid4", x),
  sum: sum4,
  norm: (x, weight, bias, eps) => norm(Float32Array.from(x), weight, bias, eps),
  quantized: true,
};

/** Exact, as far as float64 is. */
export const F64: Arithmetic = {
  round: (x) => x,
  vector: (count) => new Float64Array(count),
  exp: (x) => x.map(Math.exp),
  tanh: (x) => x.map(Math.tanh),
  sigmoid: (x) => x.map((v) => 1 / (1 + Math.exp(-v))),
  sum: (count, term) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += term(i);
    return sum;
  },
  norm: (x, weight, bias, eps) => Float64Array.from(exactNorm(x, weight, bias, eps)),
  quantized: false,
};
/** Exact but for the activations, which are quantised as the engine does it. */
export const F64_QUANTIZED: Arithmetic = { ...F64, quantized: true };

/** Numbers, and of quantised matrices what they are made of: codes, and a scale and minimum for every 16 of them. */
export interface Tensor {
  numbers: Float32Array;
  rows: number;
  columns: number;
  blocks?: { under: number; codes: Int8Array; scales: Float32Array; minimums?: Float32Array };
}

/** All tensors of a file, by official names. */
export async function tensorsOf(bytes: Uint8Array<ArrayBuffer>): Promise<Map<string, Tensor>> {
  const file = await openWeights(bytesSource("a model", bytes));
  return new Map([...file.tensors].map(([name, info]) => [name, tensorOf(bytes, info)]));
}

function tensorOf(bytes: Uint8Array, { dtype, offset, shape }: TensorInfo): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const columns = shape.at(-1)!;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset);
  const numbers = new Float32Array(count);
  const tensor: Tensor = { numbers, rows: count / columns, columns };
  const format: Format | undefined = formatOf(dtype);
  if (!format) {
    for (let i = 0; i < count; i++) {
      if (dtype === "f32") numbers[i] = view.getFloat32(i * 4, true);
      else numbers[i] = decode(dtype === "f16" ? F16 : BF16, view.getUint16(i * 2, true));
    }
    return tensor;
  }
  return withBlocks(
    tensor,
    format,
    new Uint8Array(view.buffer, view.byteOffset, (count / format.values) * format.bytes),
  );
}

/** The tensor made of these blocks. */
export function withBlocks({ rows, columns }: Tensor, format: Format, blocks: Uint8Array): Tensor {
  const view = new DataView(blocks.buffer, blocks.byteOffset);
  const count = rows * columns;
  const numbers = new Float32Array(count);
  const codes = new Int8Array(count);
  const scales = new Float32Array(count / 16);
  const minimums = new Float32Array(count / 16);
  for (let i = 0; i < count; i++) {
    const value = valueAt(format, view, 0, i);
    numbers[i] = meant(value);
    codes[i] = value.code;
    scales[i >> 4] = value.scale;
    minimums[i >> 4] = value.minimum;
  }
  const under = format.tile === TILE_HALVES ? 16 : 32;
  return {
    ...{ numbers, rows, columns },
    blocks: { under, codes, scales, ...(format.tile === TILE_SYMMETRIC ? {} : { minimums }) },
  };
}

export class SlowRwkv7 {
  readonly #a: Arithmetic;
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #layers: { shift: Numbers; ffnShift: Numbers; S: Numbers }[];
  readonly #width: number;
  readonly #size: number;

  /** `initial`: S of each layer, if a session does not start from zeros. */
  constructor(
    tensors: ReadonlyMap<string, Tensor>,
    arithmetic: Arithmetic,
    headSize = 64,
    initial: readonly Float32Array[] = [],
  ) {
    this.#a = arithmetic;
    this.#tensors = tensors;
    this.#width = this.#tensor("emb.weight").columns;
    this.#size = headSize;
    const vector = () => arithmetic.vector(this.#width);
    this.#layers = [];
    while (tensors.has(`blocks.${this.#layers.length}.ln1.weight`))
      this.#layers.push({ shift: vector(), ffnShift: vector(), S: arithmetic.vector(this.#width * headSize) });
    initial.forEach((S, i) => {
      this.#layers[i].S.set(S);
    });
  }

  /** Takes in a token; answers the logits. */
  step(token: number): Numbers {
    const emb = this.#tensor("emb.weight");
    const x = this.#a.vector(this.#width);
    x.set(emb.numbers.subarray(token * this.#width, (token + 1) * this.#width));
    if (this.#tensors.has("blocks.0.ln0.weight")) x.set(this.#norm(x, "blocks.0.ln0"));
    let first: Numbers | undefined;
    this.#layers.forEach((state, i) => {
      first = this.#timeMix(x, `blocks.${i}.`, state, first);
      this.#channelMix(x, `blocks.${i}.`, state);
    });
    return this.#times("head.weight", this.#norm(x, "ln_out"));
  }

  /** Adds to x; answers the first layer's values. */
  #timeMix(x: Numbers, layer: string, state: { shift: Numbers; S: Numbers }, first?: Numbers): Numbers {
    const { round: f, exp, sigmoid, tanh, sum } = this.#a;
    const att = `${layer}att.`;
    const numbers = (name: string) => this.#tensor(att + name).numbers;
    const now = this.#norm(x, `${layer}ln1`);
    const mixed = (letter: string) => this.#mix(now, state.shift, numbers(`x_${letter}`));
    const low = (letter: string, input: Numbers, act: (v: Numbers) => Numbers = (v) => v) =>
      this.#times(`${att}${letter}2`, act(this.#times(`${att}${letter}1`, input)));
    const gate = (bias: string, lora: Numbers) => sigmoid(lora.map((v, i) => f(numbers(bias)[i] + v)));
    const xv = mixed("v");
    const r = this.#times(`${att}receptance.weight`, mixed("r"));
    const k = this.#times(`${att}key.weight`, mixed("k"));
    let v = this.#times(`${att}value.weight`, xv);
    const g = low("g", mixed("g"), sigmoid);
    const a = gate("a0", low("a", mixed("a")));
    const w = exp(gate("w0", low("w", mixed("w"), tanh)).map((rate) => f(f(-0.6065306597126334) * rate)));
    state.shift = now;
    const values = v;
    if (first) {
      const share = gate("v0", low("v", xv));
      const all = first;
      v = v.map((own, i) => f(own + f(f(all[i] - own) * share[i])));
    }
    const [k_k, k_a, r_k] = [numbers("k_k"), numbers("k_a"), numbers("r_k")];
    const key = k.map((own, i) => f(own * f(1 + f(f(a[i] - 1) * k_a[i]))));
    const raw = k.map((own, i) => f(own * k_k[i]));
    const y = this.#a.vector(this.#width);
    const N = this.#size;
    const { S } = state;
    for (let h = 0; h < this.#width; h += N) {
      const length = Math.max(f(Math.sqrt(sum(N, (j) => f(raw[h + j] * raw[h + j])))), f(1e-12));
      const kk = raw.subarray(h, h + N).map((v) => f(v / length));
      const head = this.#a.vector(N);
      for (let i = 0; i < N; i++) {
        const row = (h + i) * N;
        const removed = sum(N, (j) => f(S[row + j] * -kk[j]));
        for (let j = 0; j < N; j++) {
          const kept = f(f(S[row + j] * w[h + j]) + f(removed * f(kk[j] * a[h + j])));
          S[row + j] = f(kept + f(v[h + i] * key[h + j]));
        }
        head[i] = sum(N, (j) => f(S[row + j] * r[h + j]));
      }
      const bonus = sum(N, (j) => f(f(r[h + j] * key[h + j]) * r_k[h + j]));
      const part = (name: string) => numbers(`ln_x.${name}`).subarray(h, h + N);
      const normed = this.#a.norm(head, part("weight"), part("bias"), 64e-5);
      for (let i = 0; i < N; i++) y[h + i] = f(f(normed[i] + f(bonus * v[h + i])) * g[h + i]);
    }
    this.#add(x, this.#times(`${att}output.weight`, y));
    return first ?? values;
  }

  #channelMix(x: Numbers, layer: string, state: { ffnShift: Numbers }): void {
    const { round: f } = this.#a;
    const now = this.#norm(x, `${layer}ln2`);
    const xk = this.#mix(now, state.ffnShift, this.#tensor(`${layer}ffn.x_k`).numbers);
    state.ffnShift = now;
    const inner = this.#times(`${layer}ffn.key.weight`, xk).map((v) => f(Math.max(v, 0) * Math.max(v, 0)));
    this.#add(x, this.#times(`${layer}ffn.value.weight`, inner));
  }

  #add(x: Numbers, y: Numbers): void {
    for (let i = 0; i < x.length; i++) x[i] = this.#a.round(x[i] + y[i]);
  }

  #mix(now: Numbers, before: Numbers, mu: Float32Array): Numbers {
    const { round: f } = this.#a;
    return now.map((v, i) => f(v + f(f(before[i] - v) * mu[i])));
  }

  #norm(x: Numbers, name: string): Numbers {
    return this.#a.norm(x, this.#tensor(`${name}.weight`).numbers, this.#tensor(`${name}.bias`).numbers, 1e-5);
  }

  #times(name: string, x: Numbers): Numbers {
    const { round: f, quantized } = this.#a;
    const { numbers, rows, columns, blocks } = this.#tensor(name);
    const out = this.#a.vector(rows);
    if (!blocks || !quantized) {
      for (let row = 0; row < rows; row++) {
        let sum = 0;
        for (let i = 0, w = row * columns; i < columns; i++, w++) sum = f(sum + f(numbers[w] * x[i]));
        out[row] = sum;
      }
      return out;
    }
    const { under, codes, scales, minimums } = blocks;
    const input = Array.from({ length: columns / 32 }, (_, b) => quantizeActivations(x, b * 32));
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < columns; i += under) {
        const { scale: s, codes: q } = input[i >> 5];
        const at = row * columns + i;
        let products = 0;
        for (let j = 0; j < under; j++) products += codes[at + j] * q[(i & 31) + j];
        const part = f(products * f(scales[at >> 4] * s));
        if (!minimums) sum = f(sum + part);
        else {
          let whole = 0;
          for (let j = 0; j < under; j++) whole += q[(i & 31) + j];
          sum = f(sum + f(part + f(whole * f(minimums[at >> 4] * s))));
        }
      }
      out[row] = sum;
    }
    return out;
  }

  #tensor(name: string): Tensor {
    return this.#tensors.get(name)!;
  }
}
