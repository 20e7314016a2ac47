/**
 * RWKV 4 to 7 in float64, one token at a time, one plain loop per formula of the papers (arXiv 2305.13048, 2404.05892, 2503.14456):
 * what experiments compare with, and what lets them see inside a layer. It shares the readers of files with the engine, and nothing
 * that computes.
 */

import type { Config } from "../model/config.ts";
import type { Tensor, Weights } from "./weights.ts";

export type Vector = Float64Array<ArrayBuffer>;

/**
 * What the recurrence of one layer was given for a token, and what it gave: C numbers each, heads one after another. What comes
 * after it, norm, gate and output matrix, mixes no tokens.
 */
export interface Scan {
  readonly r: Vector;
  readonly k: Vector;
  readonly v: Vector;
  /** The factor by which the state decays, between 0 and 1. In version 4, which counts in logarithms, its logarithm. */
  readonly decay: Vector;
  /** Versions 4 to 6: what the token itself counts beside those before it. */
  readonly bonus?: Vector;
  /** Version 7: how much of what is stored under kk is replaced. */
  readonly a?: Vector;
  readonly kk?: Vector;
  /** The output. In version 4 it is not yet multiplied by r. */
  readonly y: Vector;
}

/** Version 4: `aa`, `bb`, `pp`. Versions 5 and 6: `S[head][key][value]`. Version 7: `S[head][value][key]`. */
export interface LayerState {
  att: Vector;
  ffn: Vector;
  S: Vector;
  aa: Vector;
  bb: Vector;
  pp: Vector;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const silu = (x: number): number => x * sigmoid(x);

export class Reference {
  readonly config: Config;
  /** May be changed between tokens. */
  readonly state: readonly LayerState[];
  readonly #weights: Weights;

  constructor(weights: Weights, config: Config) {
    this.#weights = weights;
    this.config = config;
    const { layers, width: C, headSize: N } = config;
    this.state = Array.from({ length: layers }, () => ({
      att: zeros(C),
      ffn: zeros(C),
      S: zeros(C * N),
      aa: zeros(C),
      bb: zeros(C),
      pp: zeros(config.version === "4" ? C : 0).fill(-1e30),
    }));
  }

  /** Takes in a token. The logits after it; `seen` is called with what happened in each layer. */
  step(token: number, seen?: (layer: number, scan: Scan) => void): Vector {
    const { width: C, layers, rescaleEvery } = this.config;
    let x = Float64Array.from(this.#numbers("emb.weight").subarray(token * C, (token + 1) * C));
    if (this.#weights.has("blocks.0.ln0.weight")) x = this.#norm(x, "blocks.0.ln0");
    let first: Vector | undefined;
    for (let i = 0; i < layers; i++) {
      const state = this.state[i];
      const now = this.#norm(x, `blocks.${i}.ln1`);
      const { scan, out } = this.#timeMix(now, state, `blocks.${i}.att.`, first);
      first ??= scan.v;
      seen?.(i, scan);
      state.att = now;
      add(x, out);
      const after = this.#norm(x, `blocks.${i}.ln2`);
      add(x, this.#channelMix(after, state.ffn, `blocks.${i}.ffn.`));
      state.ffn = after;
      if ((i + 1) % rescaleEvery === 0) x = x.map((n) => n / 2); // never, if that is 0
    }
    const logits = this.#times(
      this.#weights.has("head.weight") ? "head.weight" : "emb.weight",
      this.#norm(x, "ln_out"),
    );
    if (this.#weights.has("head.bias")) add(logits, this.#numbers("head.bias"));
    return logits;
  }

  #timeMix(x: Vector, state: LayerState, att: string, first: Vector | undefined): { scan: Scan; out: Vector } {
    switch (this.config.version) {
      case "4":
        return this.#four(x, state, att);
      case "6":
        return this.#six(x, state, att);
      case "7":
        return this.#seven(x, state, att, first);
      default:
        return this.#five(x, state, att);
    }
  }

  #four(x: Vector, state: LayerState, att: string): { scan: Scan; out: Vector } {
    const mix = (c: string) => this.#mix(x, state.att, `${att}time_mix_${c}`);
    const r = this.#times(`${att}receptance.weight`, mix("r")).map(sigmoid);
    const k = this.#times(`${att}key.weight`, mix("k"));
    const v = this.#times(`${att}value.weight`, mix("v"));
    const bonus = this.#vector(`${att}time_first`);
    const decay = this.#vector(`${att}time_decay`).map((n) => -Math.exp(n));
    const y = zeros(x.length);
    const { aa, bb, pp } = state;
    for (let c = 0; c < x.length; c++) {
      // Sums of exp(k), all divided by exp(pp), so that none overflows.
      const now = bonus[c] + k[c];
      let top = Math.max(pp[c], now);
      let [old, fresh] = [Math.exp(pp[c] - top), Math.exp(now - top)];
      y[c] = (old * aa[c] + fresh * v[c]) / (old * bb[c] + fresh);
      const later = pp[c] + decay[c];
      top = Math.max(later, k[c]);
      [old, fresh] = [Math.exp(later - top), Math.exp(k[c] - top)];
      aa[c] = old * aa[c] + fresh * v[c];
      bb[c] = old * bb[c] + fresh;
      pp[c] = top;
    }
    const out = this.#times(
      `${att}output.weight`,
      y.map((n, c) => n * r[c]),
    );
    return { scan: { r, k, v, decay, bonus, y }, out };
  }

  #five(x: Vector, state: LayerState, att: string): { scan: Scan; out: Vector } {
    const mix = (c: string) => this.#mix(x, state.att, `${att}time_mix_${c}`);
    const decay = this.#perChannel(`${att}time_decay`).map((n) => Math.exp(-Math.exp(n)));
    const bonus = this.#weights.has(`${att}time_faaaa`)
      ? this.#perChannel(`${att}time_faaaa`)
      : this.#perChannel(`${att}time_first`).map(Math.exp);
    const scan = this.#accumulate(mix, state, att, decay, bonus);
    const y = this.#headNorm(scan.y, att);
    if (this.config.version !== "5.0") {
      const g = this.#times(`${att}gate.weight`, mix("g")).map(silu);
      y.forEach((n, c) => {
        y[c] = n * g[c];
      });
    }
    return { scan, out: this.#times(`${att}output.weight`, y) };
  }

  #six(x: Vector, state: LayerState, att: string): { scan: Scan; out: Vector } {
    const before = state.att;
    const shifted = (mu: ArrayLike<number>) => x.map((n, c) => n + (before[c] - n) * mu[c]);
    const low = this.#times(`${att}time_maa_w1`, shifted(this.#vector(`${att}time_maa_x`))).map(Math.tanh);
    const rank = low.length / 5;
    const mix = (c: string) => {
      const part = "wkvrg".indexOf(c);
      const mu = this.#vector(`${att}time_maa_${c}`);
      add(mu, this.#times(`${att}time_maa_w2`, low.slice(part * rank, (part + 1) * rank), part));
      return shifted(mu);
    };
    const w = this.#vector(`${att}time_decay`);
    add(w, this.#times(`${att}time_decay_w2`, this.#times(`${att}time_decay_w1`, mix("w")).map(Math.tanh)));
    const decay = w.map((n) => Math.exp(-Math.exp(n)));
    const scan = this.#accumulate(mix, state, att, decay, this.#perChannel(`${att}time_faaaa`));
    const g = this.#times(`${att}gate.weight`, mix("g")).map(silu);
    const y = this.#headNorm(scan.y, att).map((n, c) => n * g[c]);
    return { scan, out: this.#times(`${att}output.weight`, y) };
  }

  /** The recurrence of versions 5 and 6: y = r (S + bonus k v), then S = decay S + k v. */
  #accumulate(mix: (c: string) => Vector, state: LayerState, att: string, decay: Vector, bonus: Vector): Scan {
    const { headSize: N } = this.config;
    const r = this.#times(`${att}receptance.weight`, mix("r"));
    const k = this.#times(`${att}key.weight`, mix("k"));
    const v = this.#times(`${att}value.weight`, mix("v"));
    const y = zeros(r.length);
    const { S } = state;
    for (let c = 0; c < r.length; c++) {
      const head = c - (c % N);
      for (let j = 0; j < N; j++) {
        const kv = k[c] * v[head + j];
        y[head + j] += r[c] * (S[c * N + j] + bonus[c] * kv);
        S[c * N + j] = kv + decay[c] * S[c * N + j];
      }
    }
    return { r, k, v, decay, bonus, y };
  }

  #seven(x: Vector, state: LayerState, att: string, first: Vector | undefined): { scan: Scan; out: Vector } {
    const { headSize: N, width: C } = this.config;
    const before = state.att;
    const vector = (name: string) => this.#numbers(att + name);
    const mix = (c: string) => x.map((n, i) => n + (before[i] - n) * vector(`x_${c}`)[i]);
    /** up(act(down(x))), a low-rank map. */
    const low = (letter: string, act: (n: number) => number) =>
      this.#times(`${att}${letter}2`, this.#times(`${att}${letter}1`, mix(letter)).map(act));
    const r = this.#times(`${att}receptance.weight`, mix("r"));
    const raw = this.#times(`${att}key.weight`, mix("k"));
    const v = this.#times(`${att}value.weight`, mix("v"));
    const decay = low("w", Math.tanh).map((n, c) => Math.exp(-Math.exp(-0.5) * sigmoid(vector("w0")[c] + n)));
    const a = low("a", (n) => n).map((n, c) => sigmoid(vector("a0")[c] + n));
    const g = low("g", sigmoid);
    if (first) {
      const share = low("v", (n) => n).map((n, c) => sigmoid(vector("v0")[c] + n));
      share.forEach((n, c) => {
        v[c] += (first[c] - v[c]) * n;
      });
    }
    const k = raw.map((n, c) => n * (1 + (a[c] - 1) * vector("k_a")[c]));
    const kk = raw.map((n, c) => n * vector("k_k")[c]);
    const y = zeros(C);
    const { S } = state;
    for (let head = 0; head < C; head += N) {
      let length = 0;
      for (let j = 0; j < N; j++) length += kk[head + j] ** 2;
      length = Math.max(Math.sqrt(length), 1e-12);
      for (let j = 0; j < N; j++) kk[head + j] /= length;
      for (let i = 0; i < N; i++) {
        const row = S.subarray((head + i) * N, (head + i + 1) * N);
        let stored = 0;
        for (let j = 0; j < N; j++) stored += row[j] * kk[head + j];
        for (let j = 0; j < N; j++) {
          const c = head + j;
          row[j] = row[j] * decay[c] - stored * kk[c] * a[c] + v[head + i] * k[c];
          y[head + i] += row[j] * r[c];
        }
      }
    }
    const out = this.#headNorm(y, att);
    const r_k = vector("r_k");
    for (let head = 0; head < C; head += N) {
      let own = 0;
      for (let c = head; c < head + N; c++) own += r[c] * k[c] * r_k[c];
      for (let c = head; c < head + N; c++) out[c] = (out[c] + own * v[c]) * g[c];
    }
    return { scan: { r, k, v, decay, a, kk, y }, out: this.#times(`${att}output.weight`, out) };
  }

  #channelMix(x: Vector, before: Vector, ffn: string): Vector {
    const { version } = this.config;
    const lerp = (name: string) => {
      const mu = this.#numbers(ffn + name);
      return x.map((n, c) => n + (before[c] - n) * mu[c]);
    };
    const mix = (c: string) =>
      version === "7"
        ? lerp(`x_${c}`)
        : version === "6"
          ? lerp(`time_maa_${c}`)
          : this.#mix(x, before, `${ffn}time_mix_${c}`);
    const inner = this.#times(`${ffn}key.weight`, mix("k")).map((n) => Math.max(n, 0) ** 2);
    const out = this.#times(`${ffn}value.weight`, inner);
    if (version === "7") return out;
    const r = this.#times(`${ffn}receptance.weight`, mix("r"));
    return out.map((n, c) => n * sigmoid(r[c]));
  }

  /** x mu + before (1 - mu): the mixing of versions 4 and 5. */
  #mix(x: Vector, before: Vector, name: string): Vector {
    const mu = this.#numbers(name);
    return x.map((n, c) => n * mu[c] + before[c] * (1 - mu[c]));
  }

  #tensor(name: string): Tensor {
    const tensor = this.#weights.get(name);
    if (!tensor) throw new Error(`The model lacks the tensor ${name}.`);
    return tensor;
  }

  #numbers(name: string): Float32Array {
    return this.#tensor(name).numbers;
  }

  #vector(name: string): Vector {
    return Float64Array.from(this.#numbers(name));
  }

  /** A number per channel, or one per head that its channels share. */
  #perChannel(name: string): Vector {
    const numbers = this.#numbers(name);
    const { width: C } = this.config;
    return zeros(C).map((_, c) => numbers[Math.floor((c * numbers.length) / C)]);
  }

  /** A matrix of (outputs, inputs), or the `part`th of several, times x. */
  #times(name: string, x: Vector, part = 0): Vector {
    const { shape, numbers } = this.#tensor(name);
    const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
    const out = zeros(rows);
    let at = part * rows * columns;
    for (let row = 0; row < rows; row++) {
      // Four sums, which do not wait for each other.
      let [a, b, c, d] = [0, 0, 0, 0];
      let column = 0;
      for (; column + 3 < columns; column += 4, at += 4) {
        a += numbers[at] * x[column];
        b += numbers[at + 1] * x[column + 1];
        c += numbers[at + 2] * x[column + 2];
        d += numbers[at + 3] * x[column + 3];
      }
      for (; column < columns; column++) a += numbers[at++] * x[column];
      out[row] = a + b + (c + d);
    }
    return out;
  }

  #norm(x: Vector, name: string): Vector {
    return normed(x, this.#numbers(`${name}.weight`), this.#numbers(`${name}.bias`), this.config.normEps);
  }

  /** ln_x: each head normed by itself. */
  #headNorm(x: Vector, att: string): Vector {
    const { headSize: N, headNormEps } = this.config;
    const [weight, bias] = [this.#numbers(`${att}ln_x.weight`), this.#numbers(`${att}ln_x.bias`)];
    const out = zeros(x.length);
    for (let at = 0; at < x.length; at += N) {
      const [w, b] = [weight.subarray(at, at + N), bias.subarray(at, at + N)];
      out.set(normed(x.subarray(at, at + N), w, b, headNormEps), at);
    }
    return out;
  }
}

const zeros = (count: number): Vector => new Float64Array(count);

function add(x: Vector, y: ArrayLike<number>): void {
  for (let i = 0; i < x.length; i++) x[i] += y[i];
}

function normed(x: Vector, weight: Float32Array, bias: Float32Array, eps: number): Vector {
  let mean = 0;
  for (const n of x) mean += n / x.length;
  let variance = 0;
  for (const n of x) variance += (n - mean) ** 2 / x.length;
  const scale = 1 / Math.sqrt(variance + eps);
  return x.map((n, i) => (n - mean) * scale * weight[i] + bias[i]);
}
