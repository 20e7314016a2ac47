/**
 * RWKV-4, 5 and 6 in float64, one plain loop per formula: what the engine is compared with on shapes for which nobody else has
 * numbers. Takes tensors with official names, shapes and orientations. Shares no code with the engine.
 */
import { decode, F16, quantizeActivations, quantizeWeights } from "../kernels/reference.ts";

export interface Tensor {
  shape: number[];
  numbers: Float32Array;
}
export type Weights = Map<string, Tensor>;

export interface Settings {
  headNormEps?: number;
  /** The residual stream is halved after every so many layers. */
  rescaleEvery?: number;
  /** Large matrices in q8_0, with activations in 8 bits. */
  integer?: boolean;
}

type Vector = number[];
type State = Record<string, Vector>;

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const silu = (x: number) => x * sigmoid(x);
const sum = (x: readonly number[]) => x.reduce((a, b) => a + b, 0);

function norm(x: Vector, w: ArrayLike<number>, b: ArrayLike<number>, eps: number): Vector {
  const mean = sum(x) / x.length;
  const scale = 1 / Math.sqrt(sum(x.map((v) => (v - mean) ** 2)) / x.length + eps);
  return x.map((v, i) => (v - mean) * scale * w[i] + b[i]);
}

export class Oracle {
  readonly version: string;
  readonly width: number;
  readonly heads: number;
  readonly #w: Weights;
  readonly #settings: Settings;
  readonly #layers: number;
  readonly #state: State[];
  readonly #quantized = new Map<string, Float32Array>();

  constructor(weights: Weights, version: string, heads: number, settings: Settings = {}) {
    this.#w = weights;
    this.version = version;
    this.heads = heads;
    this.width = weights.get("emb.weight")!.shape[1];
    this.#settings = settings;
    this.#layers = [...weights.keys()].filter((name) => name.endsWith(".ln1.weight")).length;
    const zeros = (count: number) => new Array<number>(count).fill(0);
    const C = this.width;
    const parts = (): State =>
      version === "4" ? { aa: zeros(C), bb: zeros(C), pp: zeros(C).fill(-1e30) } : { S: zeros((C * C) / heads) };
    this.#state = Array.from({ length: this.#layers }, () => ({ att: zeros(C), ffn: zeros(C), ...parts() }));
  }

  /** The state by the engine's names. */
  get state(): Map<string, Vector> {
    const parts = this.#state.flatMap((layer, i) =>
      Object.entries(layer).map(([name, values]): [string, Vector] => [
        name === "att" || name === "ffn" ? `blocks.${i}.${name}.shift` : `blocks.${i}.att.${name}`,
        values,
      ]),
    );
    return new Map(parts);
  }

  /** The logits after one more token. */
  step(token: number): Vector {
    const C = this.width;
    let x = Array.from(this.#vector("emb.weight").subarray(token * C, (token + 1) * C));
    if (this.#w.has("blocks.0.ln0.weight")) x = this.#norm(x, "blocks.0.ln0");
    for (let i = 0; i < this.#layers; i++) {
      const state = this.#state[i];
      const att = `blocks.${i}.att.`;
      let xx = this.#norm(x, `blocks.${i}.ln1`);
      const y = this.version === "4" ? this.#four(xx, state, att) : this.#heads(xx, state, att);
      state.att = xx;
      x = x.map((v, c) => v + y[c]);
      xx = this.#norm(x, `blocks.${i}.ln2`);
      const z = this.#channels(xx, state, `blocks.${i}.ffn.`);
      state.ffn = xx;
      x = x.map((v, c) => v + z[c]);
      const every = this.#settings.rescaleEvery;
      if (every && (i + 1) % every === 0) x = x.map((v) => v / 2);
    }
    const out = this.#norm(x, "ln_out");
    const logits = this.#matrix(this.#w.has("head.weight") ? "head.weight" : "emb.weight", out);
    const bias = this.#w.get("head.bias")?.numbers;
    return bias ? logits.map((v, i) => v + bias[i]) : logits;
  }

  #vector(name: string): Float32Array {
    const tensor = this.#w.get(name);
    if (!tensor) throw new Error(`the oracle lacks ${name}`);
    return tensor.numbers;
  }

  #norm(x: Vector, name: string): Vector {
    return norm(x, this.#vector(`${name}.weight`), this.#vector(`${name}.bias`), 1e-5);
  }

  /** A matrix of (outputs, inputs). */
  #matrix(name: string, input: Vector): Vector {
    let numbers = this.#vector(name);
    let x = input;
    const rows = numbers.length / x.length;
    if (this.#settings.integer) {
      numbers = this.#rounded(name, numbers, rows, x.length);
      x = x.map((_, i) => {
        const block = i - (i % 32);
        const { scale, codes } = quantizeActivations(
          Float32Array.from({ length: 32 }, (_, k) => input[block + k] ?? 0),
        );
        return scale * codes[i - block];
      });
    }
    return Array.from({ length: rows }, (_, r) => {
      let total = 0;
      for (let c = 0; c < x.length; c++) total += x[c] * numbers[r * x.length + c];
      return total;
    });
  }

  #rounded(name: string, numbers: Float32Array, rows: number, columns: number): Float32Array {
    const known = this.#quantized.get(name);
    if (known) return known;
    const out = new Float32Array(numbers.length);
    for (let r = 0; r < rows; r++) {
      for (let at = 0; at < columns; at += 32) {
        const from = r * columns + at;
        const count = Math.min(32, columns - at);
        const block = new Float32Array(32);
        block.set(numbers.subarray(from, from + count));
        const { scale, codes } = quantizeWeights(block);
        for (let i = 0; i < count; i++) out[from + i] = decode(F16, scale) * codes[i];
      }
    }
    this.#quantized.set(name, out);
    return out;
  }

  /** A low-rank map's half, of (inputs, outputs); `part`: which of several that lie one after another. */
  #low(name: string, x: Vector, part = 0): Vector {
    const columns = this.#w.get(name)!.shape.at(-1)!;
    const numbers = this.#vector(name).subarray(part * x.length * columns);
    return Array.from({ length: columns }, (_, c) => {
      let total = 0;
      for (let i = 0; i < x.length; i++) total += x[i] * numbers[i * columns + c];
      return total;
    });
  }

  /** x * mu + x before * (1 - mu), the mixing of versions 4 and 5. */
  #mix(x: Vector, before: Vector, name: string): Vector {
    const mu = this.#vector(name);
    return x.map((v, c) => v * mu[c] + before[c] * (1 - mu[c]));
  }

  #channels(x: Vector, state: State, ffn: string): Vector {
    const mix = (c: string) => {
      if (this.version !== "6") return this.#mix(x, state.ffn, `${ffn}time_mix_${c}`);
      const mu = this.#vector(`${ffn}time_maa_${c}`);
      return x.map((v, i) => v + (state.ffn[i] - v) * mu[i]);
    };
    const r = this.#matrix(`${ffn}receptance.weight`, mix("r")).map(sigmoid);
    const k = this.#matrix(`${ffn}key.weight`, mix("k")).map((v) => Math.max(v, 0) ** 2);
    return this.#matrix(`${ffn}value.weight`, k).map((v, c) => r[c] * v);
  }

  #four(x: Vector, state: State, att: string): Vector {
    const mix = (c: string) => this.#mix(x, state.att, `${att}time_mix_${c}`);
    const r = this.#matrix(`${att}receptance.weight`, mix("r")).map(sigmoid);
    const k = this.#matrix(`${att}key.weight`, mix("k"));
    const v = this.#matrix(`${att}value.weight`, mix("v"));
    const first = this.#vector(`${att}time_first`);
    const decay = this.#vector(`${att}time_decay`);
    const wkv = x.map((_, c) => {
      const [aa, bb, pp] = [state.aa[c], state.bb[c], state.pp[c]];
      const now = first[c] + k[c];
      let q = Math.max(pp, now);
      let [old, fresh] = [Math.exp(pp - q), Math.exp(now - q)];
      const out = (old * aa + fresh * v[c]) / (old * bb + fresh);
      const later = pp - Math.exp(decay[c]);
      q = Math.max(later, k[c]);
      [old, fresh] = [Math.exp(later - q), Math.exp(k[c] - q)];
      state.aa[c] = old * aa + fresh * v[c];
      state.bb[c] = old * bb + fresh;
      state.pp[c] = q;
      return r[c] * out;
    });
    return this.#matrix(`${att}output.weight`, wkv);
  }

  /** Versions 5 and 6. */
  #heads(x: Vector, state: State, att: string): Vector {
    const { heads: H, width: C } = this;
    const N = C / H;
    const six = this.version === "6";
    let mix = (c: string) => this.#mix(x, state.att, `${att}time_mix_${c}`);
    /** A vector of one number per channel, or per head. */
    const spread = (name: string) => {
      const numbers = this.#vector(att + name);
      return x.map((_, c) => numbers[Math.floor((c * numbers.length) / C)]);
    };
    let decay: Vector;
    let bonus: Vector;
    if (six) {
      const dx = x.map((v, c) => state.att[c] - v);
      const mu = (c: string) => this.#vector(`${att}time_maa_${c}`);
      const low = this.#low(
        `${att}time_maa_w1`,
        x.map((v, c) => v + dx[c] * mu("x")[c]),
      ).map(Math.tanh);
      const rank = low.length / 5;
      mix = (c) => {
        const part = "wkvrg".indexOf(c);
        const m = this.#low(`${att}time_maa_w2`, low.slice(part * rank, (part + 1) * rank), part);
        return x.map((v, i) => v + dx[i] * (mu(c)[i] + m[i]));
      };
      const lora = this.#low(`${att}time_decay_w2`, this.#low(`${att}time_decay_w1`, mix("w")).map(Math.tanh));
      decay = spread("time_decay").map((w, c) => Math.exp(-Math.exp(w + lora[c])));
      bonus = spread("time_faaaa");
    } else {
      decay = spread("time_decay").map((w) => Math.exp(-Math.exp(w)));
      const raw = this.#w.has(`${att}time_faaaa`);
      bonus = raw ? spread("time_faaaa") : spread("time_first").map(Math.exp);
    }
    const r = this.#matrix(`${att}receptance.weight`, mix("r"));
    const k = this.#matrix(`${att}key.weight`, mix("k"));
    const v = this.#matrix(`${att}value.weight`, mix("v"));
    const [weight, bias] = [this.#vector(`${att}ln_x.weight`), this.#vector(`${att}ln_x.bias`)];
    let y: Vector = [];
    for (let h = 0; h < H; h++) {
      const out = new Array<number>(N).fill(0);
      for (let i = 0; i < N; i++) {
        const c = h * N + i;
        for (let j = 0; j < N; j++) {
          const at = c * N + j;
          const kv = k[c] * v[h * N + j];
          out[j] += r[c] * (state.S[at] + bonus[c] * kv);
          state.S[at] = kv + decay[c] * state.S[at];
        }
      }
      const [from, to] = [h * N, (h + 1) * N];
      y.push(...norm(out, weight.subarray(from, to), bias.subarray(from, to), this.#settings.headNormEps ?? 64e-5));
    }
    if (this.version !== "5.0") {
      const g = this.#matrix(`${att}gate.weight`, mix("g")).map(silu);
      y = y.map((v, c) => v * g[c]);
    }
    return this.#matrix(`${att}output.weight`, y);
  }
}
