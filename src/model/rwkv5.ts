/**
 * RWKV-5 "Eagle" (Peng et al. 2024, arXiv 2404.05892) as a plan: one pass over n tokens, in the paper's letters and order.
 * C channels, H heads of N, F channels in the feed-forward part. Before the paper's own version, 5.2, there were 5.0, with one
 * decay and one bonus per head and no gate, and 5.1, with the gate.
 */

import { FINISH_ADD, FINISH_SILU } from "../../assembly/ops.ts";
import type { Activation, Planner } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import { channelMix, embed, head } from "./common.ts";
import type { Config } from "./config.ts";
import type { Tensors } from "./tensors.ts";

export function planRwkv5(p: Planner, w: Tensors, config: Config): EngineSpec {
  const { version, layers, width: C, headSize: N, heads: H, ffn: F, normEps, headNormEps } = config;
  const gated = version !== "5.0";

  const x = p.activation(C); // the residual stream
  const [xk, xv, xr, xg] = p.activations(C, 4) as Four;
  const acts = p.activations(C, gated ? 4 : 3);
  const [r, k, v, g] = acts as Four;
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
    const mu = mixes("att", gated ? "kvrg" : "kvr");
    p.normMix(x, w.norm(`blocks.${i}.ln1`, C, normEps), shift, mu, gated ? [xk, xv, xr, xg] : [xk, xv, xr]);
    p.matmul(r, w.matrix(`${att}receptance.weight`, C, C), xr);
    p.matmul(k, w.matrix(`${att}key.weight`, C, C), xk);
    p.matmul(v, w.matrix(`${att}value.weight`, C, C), xv);
    if (gated) p.matmul(g, w.matrix(`${att}gate.weight`, C, C), xg, FINISH_SILU);
    const params = w.vectors(C, [
      { name: `${att}time_decay`, form: "exp(-exp(x))", heads: H },
      // The name says which it is.
      w.has(`${att}time_faaaa`)
        ? { name: `${att}time_faaaa`, heads: H }
        : { name: `${att}time_first`, form: "exp(x)", heads: H },
      `${att}ln_x.weight`,
      `${att}ln_x.bias`,
    ]);
    const S = p.part(`${att}S`, [H, N, N]);
    p.wkv6(y, acts, params, N, headNormEps, S);
    p.matmul(x, w.matrix(`${att}output.weight`, C, C), y, FINISH_ADD);

    channelMix(p, w, config, i, x, { xk, xr, r, inner }, mixes("ffn", "kr"));
  }

  return head(p, w, config, x, y);
}

type Four = [Activation, Activation, Activation, Activation];
