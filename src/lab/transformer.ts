/**
 * A standard Transformer decoder as a plan: pre-norm, causal softmax attention over a cache of keys and values, the same channel mixing as
 * RWKV-7. The matrices, their kernels, the threads and the chunks of a prompt are those of the RWKV models that it is measured beside; only the
 * mixing along the tokens differs. Positions are not encoded, which costs nothing: what order there is comes from the causal mask.
 *
 * C channels, H heads of N, F channels in the feed-forward part.
 */

import { FINISH_ADD, FINISH_RELU2, OP_ATTENTION } from "../../assembly/ops.ts";
import type { Activation, Planner } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import { embed, head } from "../model/common.ts";
import type { Config } from "../model/config.ts";
import type { Tensors } from "../model/tensors.ts";
import type { TensorFile } from "../types.ts";
import { HEAD_SIZE } from "./synthetic.ts";

/** Sizes of the Transformer in a file. */
export function transformerConfig(file: TensorFile): Config {
  const [vocab, width] = file.tensors.get("emb.weight")!.shape as [number, number];
  const layers = [...file.tensors.keys()].filter((name) => name.endsWith(".ln1.weight")).length;
  const [ffn] = file.tensors.get("blocks.0.ffn.key.weight")!.shape as [number];
  return {
    // What the state of a session is filed under; no plan of RWKV is asked.
    version: "4",
    layers,
    width,
    headSize: HEAD_SIZE,
    heads: width / HEAD_SIZE,
    ffn,
    vocab,
    normEps: 1e-5,
    headNormEps: 0,
    rescaleEvery: 0,
  };
}

/** Positions that a head's cache has room for if so many are wanted: the kernel fills groups of 16. */
const roomFor = (positions: number): number => Math.ceil(positions / 16) * 16;
/** Bytes of keys and values for one position, all layers together. */
export const cacheBytes = ({ layers, width }: Pick<Config, "layers" | "width">): number => layers * width * 4 * 2;

/** `positions`: the longest text. One session at a time: the cache belongs to whoever computes. */
export function planTransformer(p: Planner, w: Tensors, config: Config, positions: number): EngineSpec {
  const { layers, width: C, ffn: F, headSize: N, normEps } = config;

  const x = p.activation(C); // the residual stream
  const xx = p.activation(C);
  const acts = p.activations(C, 3);
  const [q, k, v] = acts as [Activation, Activation, Activation];
  const y = p.activation(C);
  const inner = p.activation(F);
  // RWKV's norm with its token shift, by nothing: the norm alone.
  const shift = p.part("shift", [C]);
  const nothing = p.vectors(C, [undefined]);
  const scoreBytes = 4 * 4 * (N + roomFor(positions));
  const scores = p.room(scoreBytes * p.ranks);

  embed(p, w, config, x);

  for (let i = 0; i < layers; i++) {
    const att = `blocks.${i}.att.`;
    const ffn = `blocks.${i}.ffn.`;

    p.normMix(x, w.norm(`blocks.${i}.ln1`, C, normEps), shift, nothing, [xx]);
    p.matmul(q, w.matrix(`${att}receptance.weight`, C, C), xx);
    p.matmul(k, w.matrix(`${att}key.weight`, C, C), xx);
    p.matmul(v, w.matrix(`${att}value.weight`, C, C), xx);
    const [keys, values] = [p.room(roomFor(positions) * C * 4), p.room(roomFor(positions) * C * 4)];
    p.byHeads(OP_ATTENTION, y, acts, N, [keys, values, positions, C, N, y.address, scores, scoreBytes]);
    p.matmul(x, w.matrix(`${att}output.weight`, C, C), y, FINISH_ADD);

    p.normMix(x, w.norm(`blocks.${i}.ln2`, C, normEps), shift, nothing, [xx]);
    p.matmul(inner, w.matrix(`${ffn}key.weight`, F, C), xx, FINISH_RELU2);
    p.matmul(x, w.matrix(`${ffn}value.weight`, C, F), inner, FINISH_ADD);
  }

  return head(p, w, config, x, y);
}
