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
  /** The residual stream is halved after every so many layers, whose output matrices the file has scaled to match; 0: it is not. */
  readonly rescaleEvery: number;
}

/** More than any RWKV has; what is beyond comes from a damaged file. */
const MOST = { layers: 1024, width: 65536, vocab: 1 << 20 };

/**
 * `lnXEpsilon`: the epsilon of `ln_x`, if the file is wrong about it. Throws `RwkvError` "weights", or "input" where there is no `ln_x`.
 */
export function configOf(file: TensorFile, lnXEpsilon?: number): Config {
  const { tensors, name } = file;
  if (file.tuned)
    throw new RwkvError(
      "weights",
      `${name} is what fine-tuning leaves, not a model: load the model that it belongs to, with a LoRA as \`lora\`; a tuned state is for model.initialState().`,
    );
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
    headSize = headSizeOf(version, width, shape, file.facts.get("head_size"));
    if (headSize % 8 !== 0 || headSize < 8 || headSize > 128 || width % headSize !== 0) {
      throw new RwkvError(
        "weights",
        `${name} says head size ${headSize} for width ${width}; it has to be a multiple of 8, at most 128, and divide the width.`,
      );
    }
  }
  if (version === "4" && lnXEpsilon !== undefined) {
    throw new RwkvError("input", `lnXEpsilon was given, but ${name} is an RWKV-4, which has no ln_x. Leave it out.`);
  }
  const eps = file.facts.get("layer_norm_epsilon");
  const headEps = file.facts.get("ln_x_epsilon");
  const rescaled = file.facts.get("rescale_every_n_layers");
  return {
    version,
    layers,
    width,
    headSize,
    heads: headSize === 0 ? 0 : width / headSize,
    ffn,
    vocab,
    normEps: typeof eps === "number" ? eps : 1e-5,
    headNormEps: lnXEpsilon ?? (typeof headEps === "number" ? headEps : 64e-5),
    rescaleEvery: typeof rescaled === "number" && rescaled > 0 ? rescaled : 0,
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
  return product(decay) === file.tensors.get("emb.weight")?.shape[1] ? "5.2" : "5.1";
}

/** Versions 5.0 and 5.1 have one decay per head; the others have a tensor of (heads, head size), which some containers flatten. */
function headSizeOf(
  version: Exclude<Version, "4">,
  width: number,
  shape: (key: string) => readonly number[],
  stated: number | string | undefined,
): number {
  if (version === "5.0" || version === "5.1") return width / product(shape("blocks.0.att.time_decay"));
  const telling = { "5.2": "time_decay", "6": "time_faaaa", "7": "r_k" }[version];
  const sizes = shape(`blocks.0.att.${telling}`);
  if (sizes.length > 1) return sizes[1]!;
  if (typeof stated === "number") return stated;
  // As good as all have heads of 64; where that cannot be, there is one head, whose dimension of 1 was left out.
  return width % 64 === 0 ? 64 : width;
}

const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
