/**
 * RWKV-6 "Finch" (Peng et al. 2024, arXiv 2404.05892) as a plan: one pass over n tokens, in the paper's letters and order.
 * C channels, H heads of N, F channels in the feed-forward part.
 */

import { FINISH_ADD, FINISH_SILU, FINISH_TANH } from "../../assembly/ops.ts";
import type { Activation, Planner } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import { channelMix, embed, head } from "./common.ts";
import type { Config } from "./config.ts";
import type { Tensors } from "./tensors.ts";

export function planRwkv6(p: Planner, w: Tensors, config: Config): EngineSpec {
  const { layers, width: C, headSize: N, heads: H, ffn: F, normEps, headNormEps, rescaleEvery } = config;
  // All layers' ranks are those of the first.
  const maaRank = w.columns("blocks.0.att.time_maa_w2");
  const decayRank = w.rows("blocks.0.att.time_decay_w1");

  const x = p.activation(C); // the residual stream
  const [xx, dx, xxx] = p.activations(C, 3) as [Activation, Activation, Activation];
  const low = p.activation(maaRank * 5);
  const m = p.activations(C, 5);
  const mixed = p.activations(C, 5);
  const [xw, xk, xv, xr, xg] = mixed as Five;
  const wLow = p.activation(decayRank);
  const acts = p.activations(C, 5);
  const [r, k, v, g, w_] = acts as Five;
  const y = p.activation(C);
  const inner = p.activation(F);

  embed(p, w, config, x);

  for (let i = 0; i < layers; i++) {
    const att = `blocks.${i}.att.`;
    const mu = (part: string, letters: string) =>
      w.vectors(
        C,
        [...letters].map((c) => `blocks.${i}.${part}.time_maa_${c}`),
      );

    // Time mixing. How much of the token before is mixed in depends on the token, by a low-rank map for each of w, k, v, r, g.
    const shift = p.part(`${att}shift`, [C]);
    p.normShift(x, w.norm(`blocks.${i}.ln1`, C, normEps), shift, xx, dx);
    p.lerp([xxx], xx, dx, mu("att", "x"));
    p.matmul(low, w.small(`${att}time_maa_w1`, maaRank * 5, C), xxx, FINISH_TANH);
    w.smalls(`${att}time_maa_w2`, 5, C, maaRank).forEach((w2, j) => {
      p.matmul(m[j]!, w2, low, 0, j * maaRank);
    });
    p.lerp(mixed, xx, dx, mu("att", "wkvrg"), m);
    p.matmul(r, w.matrix(`${att}receptance.weight`, C, C), xr);
    p.matmul(k, w.matrix(`${att}key.weight`, C, C), xk);
    p.matmul(v, w.matrix(`${att}value.weight`, C, C), xv);
    p.matmul(g, w.matrix(`${att}gate.weight`, C, C), xg, FINISH_SILU);
    p.matmul(wLow, w.small(`${att}time_decay_w1`, decayRank, C), xw, FINISH_TANH);
    p.matmul(w_, w.small(`${att}time_decay_w2`, C, decayRank), wLow);
    const params = w.vectors(C, [
      ...["time_decay", "time_faaaa", "ln_x.weight", "ln_x.bias"].map((name) => att + name),
    ]);
    const S = p.part(`${att}S`, [H, N, N]);
    p.wkv6(y, acts, params, N, headNormEps, S);
    p.matmul(x, w.matrix(`${att}output.weight`, C, C), y, FINISH_ADD);

    const factor = (i + 1) % rescaleEvery === 0 ? 0.5 : 1; // never, if that is 0
    channelMix(p, w, config, i, x, { xk, xr, r, inner }, mu("ffn", "kr"), factor);
  }

  return head(p, w, config, x, y);
}

type Five = [Activation, Activation, Activation, Activation, Activation];
