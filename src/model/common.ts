/** What all versions do before their layers and after them, and the channel mixing that versions 4 to 6 share. */

import { FINISH_RELU2, FINISH_SIGMOID } from "../../assembly/ops.ts";
import type { Activation, Planner, Vectors } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import type { Config } from "./config.ts";
import type { Tensors } from "./tensors.ts";

/** x = the token's embedding, normed by ln0, which some checkpoints have merged into the embedding. */
export function embed(p: Planner, w: Tensors, { width: C, vocab: V, normEps }: Config, x: Activation): void {
  const ln0 = w.has("blocks.0.ln0.weight") ? w.norm("blocks.0.ln0", C, normEps) : undefined;
  p.embed(x, w.table("emb.weight", V, C), ln0);
}

/**
 * Logits of the rows that are wanted. The last layer's output x is kept with the state: logits can be asked for at any later
 * time. `out` is overwritten. Where there is no head, the embedding serves as one.
 */
export function head(p: Planner, w: Tensors, config: Config, x: Activation, out: Activation): EngineSpec {
  const { width: C, vocab: V, normEps } = config;
  const hidden = p.part("hidden", [C]);
  p.keep(x, hidden);
  p.heads();
  p.gatherNorm(out, x, w.norm("ln_out", C, normEps));
  const logits = p.logits(V);
  const weights = w.matrix(w.has("head.weight") ? "head.weight" : "emb.weight", V, C);
  p.matmul(logits, weights, out, w.has("head.bias") ? { bias: w.vectors(V, ["head.bias"]) } : 0);
  return p.finish(x, hidden, logits);
}

/** Room for the channel mixing. xk and xr were made together. */
export interface ChannelRoom {
  xk: Activation;
  xr: Activation;
  r: Activation;
  inner: Activation;
}

/** x = (x + sigmoid(R xr) * V relu(K xk)²) * factor, in layer i; mu: the mixes of xk and xr. */
export function channelMix(
  p: Planner,
  w: Tensors,
  { width: C, ffn: F, normEps }: Config,
  i: number,
  x: Activation,
  { xk, xr, r, inner }: ChannelRoom,
  mu: Vectors,
  factor = 1,
): void {
  const ffn = `blocks.${i}.ffn.`;
  const shift = p.part(`${ffn}shift`, [C]);
  p.normMix(x, w.norm(`blocks.${i}.ln2`, C, normEps), shift, mu, [xk, xr]);
  p.matmul(r, w.matrix(`${ffn}receptance.weight`, C, C), xr, FINISH_SIGMOID);
  p.matmul(inner, w.matrix(`${ffn}key.weight`, F, C), xk, FINISH_RELU2);
  p.matmul(x, w.matrix(`${ffn}value.weight`, C, F), inner, { gate: r, factor });
}
