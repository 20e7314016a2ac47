/**
 * RWKV-4 "Dove" (Peng et al. 2023, arXiv 2305.13048) as a plan: one pass over n tokens, in the paper's letters and order.
 * C channels, F channels in the feed-forward part.
 */

import { FINISH_ADD, FINISH_SIGMOID } from "../../assembly/ops.ts";
import type { Activation, Planner } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import { channelMix, embed, head } from "./common.ts";
import type { Config } from "./config.ts";
import type { Tensors } from "./tensors.ts";

export function planRwkv4(p: Planner, w: Tensors, config: Config): EngineSpec {
  const { layers, width: C, ffn: F, normEps } = config;

  const x = p.activation(C); // the residual stream
  const [xk, xv, xr] = p.activations(C, 3) as Three;
  const acts = p.activations(C, 3);
  const [r, k, v] = acts as Three;
  const y = p.activation(C);
  const inner = p.activation(F);

  embed(p, w, config, x);

  for (let i = 0; i < layers; i++) {
    const att = `blocks.${i}.att.`;
    // The paper mixes x * mu + x before * (1 - mu); here it is x + (x before - x) * (1 - mu).
    const mixes = (part: string, letters: string) =>
      w.vectors(
        C,
        [...letters].map((c) => ({ name: `blocks.${i}.${part}.time_mix_${c}`, form: "1 - x" })),
      );

    // Time mixing
    const shift = p.part(`${att}shift`, [C]);
    p.normMix(x, w.norm(`blocks.${i}.ln1`, C, normEps), shift, mixes("att", "kvr"), [xk, xv, xr]);
    p.matmul(r, w.matrix(`${att}receptance.weight`, C, C), xr, FINISH_SIGMOID);
    p.matmul(k, w.matrix(`${att}key.weight`, C, C), xk);
    p.matmul(v, w.matrix(`${att}value.weight`, C, C), xv);
    const params = w.vectors(C, [`${att}time_first`, { name: `${att}time_decay`, form: "-exp(x)" }]);
    const [aa, bb, pp] = [p.part(`${att}aa`, [C]), p.part(`${att}bb`, [C]), p.part(`${att}pp`, [C], -1e30)];
    p.wkv4(y, acts, params, aa, bb, pp);
    p.matmul(x, w.matrix(`${att}output.weight`, C, C), y, FINISH_ADD);

    channelMix(p, w, config, i, x, { xk, xr, r, inner }, mixes("ffn", "kr"));
  }

  return head(p, w, config, x, y);
}

type Three = [Activation, Activation, Activation];
