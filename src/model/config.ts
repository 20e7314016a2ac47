/** Finds out which RWKV a file holds, and its sizes: all from tensor names and shapes. */

import { RwkvError } from "../errors.ts";
import type { TensorFile } from "../types.ts";

export type Version = "4" | "5.0" | "5.1" | "5.2" | "6" | "7";

export interface Config {
  readonly version: Version;
  readonly layers: number;
  /** Channels, the paper's C or D. */
  readonly width: number;
  /** Channels of a head, and how many heads; 0 in version 4, which has none. */
  readonly headSize: number;
  readonly heads: number;
  /** Channels inside the channel mixing. */
  readonly ffn: number;
  /** Rows of the embedding and of the head. */
  readonly vocab: number;
  readonly normEps: number;
  /** Epsilon of `ln_x`. */
  readonly headNormEps: number;
}

/** More than any RWKV has; what is beyond comes from a damaged file. */
const MOST = { layers: 1024, width: 65536, vocab: 1 << 20 };

export function configOf(file: TensorFile): Config {
  const { tensors, name } = file;
  const has = (key: string) => tensors.has(`blocks.0.att.${key}`);
  const shape = (key: string): readonly number[] => {
    const tensor = tensors.get(key);
    if (!tensor) throw new RwkvError("weights", `${name} has no tensor ${key}: this is not a complete RWKV model.`);
    return tensor.shape;
  };
  let layers = 0;
  for (const key of tensors.keys()) {
    const layer = /^blocks\.(\d{1,6})\./.exec(key);
    if (layer) layers = Math.max(layers, Number(layer[1]) + 1);
  }
  const [vocab = 0, width = 0] = shape("emb.weight");
  const [ffn = 0] = shape("blocks.0.ffn.key.weight");
  if (layers < 1 || layers > MOST.layers || width < 1 || width > MOST.width || vocab < 1 || vocab > MOST.vocab) {
    throw new RwkvError(
      "weights",
      `${name} claims ${layers} layers, width ${width}, vocabulary ${vocab}: no RWKV has such sizes.`,
    );
  }

  const version = versionOf(file, has);
  let headSize = 0;
  if (version !== "4") {
    // The bonus is (heads, head size) in official files; containers that flatten it say the head size beside it.
    const bonus = { "7": "r_k", "6": "time_faaaa", "5.2": "time_faaaa", "5.1": "time_decay", "5.0": "time_decay" }[
      version
    ];
    const bonusShape = shape(`blocks.0.att.${bonus}`);
    const stated = file.facts.get("head_size");
    headSize = bonusShape.length === 2 ? bonusShape[1]! : typeof stated === "number" ? stated : 64;
    if (headSize % 8 !== 0 || headSize < 8 || headSize > 128 || width % headSize !== 0) {
      throw new RwkvError(
        "weights",
        `${name} says head size ${headSize} for width ${width}; it has to be a multiple of 8, at most 128, and divide the width.`,
      );
    }
  }
  const eps = file.facts.get("layer_norm_epsilon");
  return {
    version,
    layers,
    width,
    headSize,
    heads: headSize === 0 ? 0 : width / headSize,
    ffn,
    vocab,
    normEps: typeof eps === "number" ? eps : 1e-5,
    headNormEps: 64e-5,
  };
}

function versionOf(file: TensorFile, has: (key: string) => boolean): Version {
  if (has("r_k")) return "7";
  if (has("time_maa_x")) return "6";
  if (!has("time_decay")) {
    throw new RwkvError(
      "weights",
      `${file.name} has none of the tensors by which an RWKV is known (blocks.0.att.r_k, time_maa_x, time_decay).`,
    );
  }
  if (!has("ln_x.weight")) return "4";
  if (!has("gate.weight")) return "5.0";
  const decay = file.tensors.get("blocks.0.att.time_decay")!.shape;
  return decay.length > 1 && decay[1]! > 1 ? "5.2" : "5.1";
}
