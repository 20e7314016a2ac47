/**
 * What the recurrence of a layer looks at: the exact weight that a token's output gives to the value of each earlier token. An RWKV
 * keeps no list of tokens, but its output is linear in their values, so the weights exist, and here they are computed:
 *
 * - version 4, per channel: exp(k of i, less the decay since) over the sum of all such;
 * - versions 5 and 6, per head: r of t · (the decays after i) k of i, with the bonus for t itself;
 * - version 7, per head: k of i · G of i+1 ... G of t · r of t, where G = diag(decay) - kk (kk a)ᵀ is a token's transition matrix.
 *
 * The sum of all weights times values is the output again, which is how they are checked, and what remains, if the text did not begin
 * with an empty state, is that state's share.
 */

import type { Config } from "../model/config.ts";
import type { LayerState, Scan, Vector } from "./reference.ts";

/** The weights of one head; in version 4 the mean over a group of channels. */
export interface AttentionMap {
  /** Tokens: `weights[t * tokens + i]` is what token t gives to i; 0 where i is later. */
  readonly tokens: number;
  readonly weights: Vector;
  /** The weights times the lengths of the values, each row divided by the sum of its absolute values: shares of an output. */
  readonly shares: Vector;
}

export interface LayerAttention {
  readonly heads: readonly AttentionMap[];
  /** The largest difference of weights times values from the outputs, over the largest output. */
  readonly error: number;
}

/** Groups of channels in version 4, by their decay from the quickest to the slowest. */
export const GROUPS = 4;

/** What a layer's heads look at. `initial`: the layer's state before the first token, if it was not empty. */
export function attentionOf(config: Config, scans: readonly Scan[], initial?: LayerState): LayerAttention {
  return config.version === "4" ? ofChannels(scans, initial) : ofHeads(config, scans, initial);
}

function ofHeads(
  { version, headSize: N, heads: H }: Config,
  scans: readonly Scan[],
  initial: LayerState | undefined,
): LayerAttention {
  const T = scans.length;
  const check = new Check();
  const heads = Array.from({ length: H }, (_, h) => {
    const [from, to] = [h * N, (h + 1) * N];
    const part = (x: Vector) => x.subarray(from, to);
    const tokens = scans.map(({ r, k, v, y, ...rest }) => ({
      ...{ r: part(r), k: part(k), v: part(v), y: part(y), decay: part(rest.decay) },
      ...(rest.bonus && { bonus: part(rest.bonus) }),
      ...(rest.a && rest.kk && { kk: part(rest.kk), erased: part(rest.kk).map((n, c) => n * rest.a![from + c]) }),
    }));
    const S = initial?.S.subarray(from * N, to * N);
    const weights = new Float64Array(T * T);
    const sum = new Float64Array(N);
    for (let t = 0; t < T; t++) {
      // q: what a key must be like for its value to be in the output, on the way back through time.
      const q = tokens[t].r.slice();
      if (version !== "7") weights[t * T + t] = dot(q, tokens[t].k, tokens[t].bonus);
      for (let i = version === "7" ? t : t - 1; i >= 0; i--) {
        const { k, decay, kk, erased } = tokens[i];
        weights[t * T + i] = dot(q, k);
        const replaced = erased ? dot(q, erased) : 0;
        for (let c = 0; c < N; c++) q[c] = q[c] * decay[c] - (kk ? kk[c] * replaced : 0);
      }
      sum.fill(0);
      for (let i = 0; i <= t; i++) for (let j = 0; j < N; j++) sum[j] += weights[t * T + i] * tokens[i].v[j];
      if (S)
        for (let c = 0; c < N; c++)
          for (let j = 0; j < N; j++) sum[j] += q[c] * (version === "7" ? S[j * N + c] : S[c * N + j]);
      check.row(sum, tokens[t].y);
    }
    return mapOf(weights, T, (i) => Math.sqrt(dot(tokens[i].v, tokens[i].v)));
  });
  return { heads, error: check.error };
}

/** Version 4. The weights of a channel for a token are positive and, with an empty state before, add up to 1. */
function ofChannels(scans: readonly Scan[], initial: LayerState | undefined): LayerAttention {
  const T = scans.length;
  const C = scans[0]?.r.length ?? 0;
  const check = new Check();
  const order = Array.from({ length: C }, (_, c) => c).sort((a, b) => scans[0].decay[a] - scans[0].decay[b]);
  const heads = Array.from({ length: GROUPS }, (_, group) => {
    const channels = order.slice((group * C) / GROUPS, ((group + 1) * C) / GROUPS);
    const weights = new Float64Array(T * T);
    const lengths = new Float64Array(T);
    for (const c of channels) {
      const own = channelWeights(scans, c, initial);
      const sums = new Float64Array(T);
      for (let t = 0; t < T; t++) {
        for (let i = 0; i <= t; i++) {
          sums[t] += own.weights[t * T + i] * scans[i].v[c];
          weights[t * T + i] += own.weights[t * T + i] / channels.length;
        }
        sums[t] += own.initial[t];
        lengths[t] += scans[t].v[c] ** 2;
      }
      check.row(
        sums,
        scans.map(({ y }) => y[c]),
      );
    }
    return mapOf(weights, T, (i) => Math.sqrt(lengths[i]));
  });
  return { heads, error: check.error };
}

/** Version 4: the weights of one channel, and what the state before the first token adds to each output. */
export function channelWeights(
  scans: readonly Scan[],
  c: number,
  initial?: LayerState,
): { weights: Vector; initial: Vector } {
  const T = scans.length;
  const weights = new Float64Array(T * T);
  const before = new Float64Array(T);
  const logs = new Float64Array(T);
  for (let t = 0; t < T; t++) {
    const { k, bonus, decay } = scans[t];
    logs[t] = bonus![c] + k[c];
    for (let i = 0; i < t; i++) logs[i] = scans[i].k[c] + (t - 1 - i) * decay[c];
    const old = initial && initial.bb[c] > 0 ? initial.pp[c] + t * decay[c] : Number.NEGATIVE_INFINITY;
    let top = old;
    for (let i = 0; i <= t; i++) top = Math.max(top, logs[i]);
    let total = initial ? Math.exp(old - top) * initial.bb[c] : 0;
    for (let i = 0; i <= t; i++) total += Math.exp(logs[i] - top);
    for (let i = 0; i <= t; i++) weights[t * T + i] = Math.exp(logs[i] - top) / total;
    if (initial) before[t] = (Math.exp(old - top) * initial.aa[c]) / total;
  }
  return { weights, initial: before };
}

function mapOf(weights: Vector, tokens: number, length: (i: number) => number): AttentionMap {
  const shares = new Float64Array(weights.length);
  const lengths = Array.from({ length: tokens }, (_, i) => length(i));
  for (let t = 0; t < tokens; t++) {
    let total = 0;
    for (let i = 0; i <= t; i++) total += Math.abs(weights[t * tokens + i]) * lengths[i];
    for (let i = 0; i <= t; i++)
      shares[t * tokens + i] = total > 0 ? (weights[t * tokens + i] * lengths[i]) / total : 0;
  }
  return { tokens, weights, shares };
}

/** A token that looks back at another one. */
export interface Glance {
  readonly layer: number;
  readonly head: number;
  readonly from: number;
  readonly to: number;
  /** Of the output: 1 if it is nothing but the other token's value. */
  readonly share: number;
}

/** The sharpest looks back over at least `distance` tokens, the best of each head, best heads first. `skip`: first tokens that do not count. */
export function glances(layers: readonly LayerAttention[], distance: number, skip = 1): Glance[] {
  const best: Glance[] = [];
  layers.forEach(({ heads }, layer) => {
    heads.forEach(({ tokens: T, shares }, head) => {
      let found: Glance | undefined;
      for (let from = distance; from < T; from++) {
        for (let to = skip; to <= from - distance; to++) {
          const share = shares[from * T + to];
          if (!found || Math.abs(share) > Math.abs(found.share)) found = { layer, head, from, to, share };
        }
      }
      if (found) best.push(found);
    });
  });
  return best.sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
}

class Check {
  #largest = 0;
  #difference = 0;

  row(found: ArrayLike<number>, wanted: ArrayLike<number>): void {
    for (let i = 0; i < wanted.length; i++) {
      this.#largest = Math.max(this.#largest, Math.abs(wanted[i]));
      this.#difference = Math.max(this.#difference, Math.abs(found[i] - wanted[i]));
    }
  }

  get error(): number {
    return this.#difference / Math.max(this.#largest, Number.MIN_VALUE);
  }
}

function dot(x: Vector, y: Vector, z?: Vector): number {
  let sum = 0;
  for (let c = 0; c < x.length; c++) sum += x[c] * y[c] * (z ? z[c] : 1);
  return sum;
}
