/**
 * RWKV-7 "Goose" (Peng et al. 2025, arXiv 2503.14456) as a plan: one pass over n tokens, in the paper's letters and order.
 * C channels, H heads of N, F channels in the feed-forward part.
 */

import { FINISH_ADD, FINISH_RELU2, FINISH_SIGMOID, FINISH_TANH } from "../../assembly/ops.ts";
import type { Activation, Planner } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import { embed, head } from "./common.ts";
import type { Config } from "./config.ts";
import type { Tensors } from "./tensors.ts";

export function planRwkv7(p: Planner, w: Tensors, config: Config): EngineSpec {
  const { layers, width: C, headSize: N, heads: H, ffn: F, normEps, headNormEps } = config;

  const x = p.activation(C); // the residual stream
  const [xr, xw, xk, xv, xa, xg] = p.activations(C, 6) as Six;
  const acts = p.activations(C, 7);
  const [r, k, v, w_, a, v_, g] = acts as Seven;
  const v_first = p.activation(C);
  const y = p.activation(C);
  const inner = p.activation(F);
  const lora = new Map<string, Activation>();

  embed(p, w, config, x);

  for (let i = 0; i < layers; i++) {
    const att = `blocks.${i}.att.`;
    const ffn = `blocks.${i}.ffn.`;

    // dst = up(act(down(x))): a low-rank map, whose rank each checkpoint chooses for itself.
    const low = (letter: string, input: Activation, act = 0): Activation => {
      const rank = w.rows(`${att}${letter}1`);
      const key = `${letter}${rank}`;
      const middle = lora.get(key) ?? p.activation(rank);
      lora.set(key, middle);
      p.matmul(middle, w.small(`${att}${letter}1`, rank, C), input, act);
      return middle;
    };
    const up = (dst: Activation, letter: string, middle: Activation) =>
      p.matmul(dst, w.small(`${att}${letter}2`, C, middle.channels), middle);

    // Time mixing
    const mu = w.vectors(
      C,
      [..."rwkvag"].map((c) => `${att}x_${c}`),
    );
    const shift = p.part(`${att}shift`, [C]);
    p.normMix(x, w.norm(`blocks.${i}.ln1`, C, normEps), shift, mu, [xr, xw, xk, xv, xa, xg]);
    p.matmul(r, w.matrix(`${att}receptance.weight`, C, C), xr);
    p.matmul(k, w.matrix(`${att}key.weight`, C, C), xk);
    p.matmul(v, w.matrix(`${att}value.weight`, C, C), xv);
    const wLow = low("w", xw, FINISH_TANH);
    const aLow = low("a", xa);
    const vLow = i > 0 ? low("v", xv) : undefined;
    const gLow = low("g", xg, FINISH_SIGMOID);
    up(w_, "w", wLow);
    up(a, "a", aLow);
    if (vLow) up(v_, "v", vLow);
    up(g, "g", gLow);
    const params = w.vectors(C, [
      ...["w0", "a0", i > 0 ? "v0" : undefined, "k_k", "k_a", "r_k"].map((name) => name && att + name),
      `${att}ln_x.weight`,
      `${att}ln_x.bias`,
    ]);
    const S = p.part(`${att}S`, [H, N, N]);
    p.wkv7(y, acts, params, N, headNormEps, S, v_first, i === 0);
    p.matmul(x, w.matrix(`${att}output.weight`, C, C), y, FINISH_ADD);

    // Channel mixing
    const x_k = w.vectors(C, [`${ffn}x_k`]);
    const ffnShift = p.part(`${ffn}shift`, [C]);
    p.normMix(x, w.norm(`blocks.${i}.ln2`, C, normEps), ffnShift, x_k, [xk]);
    p.matmul(inner, w.matrix(`${ffn}key.weight`, F, C), xk, FINISH_RELU2);
    p.matmul(x, w.matrix(`${ffn}value.weight`, C, F), inner, FINISH_ADD);
  }

  return head(p, w, config, x, xr);
}

type Six = [Activation, Activation, Activation, Activation, Activation, Activation];
type Seven = [Activation, ...Six];
