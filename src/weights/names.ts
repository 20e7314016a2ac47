/**
 * Tensor names: what the tensors of a file are called officially. The official names are those of BlinkDL's
 * checkpoints (github.com/BlinkDL/RWKV-LM), which the model's plans use whatever the file.
 *
 * GGUF's names and shapes are those of llama.cpp's converter. It stores every matrix as (outputs, inputs), LoRA matrices
 * too; joins the token-shift vectors of a layer into one tensor; and gives layer 0, which has no value residual,
 * placeholders for one.
 */
import { RwkvError } from "../errors.ts";
import type { Source, TensorInfo } from "../types.ts";
import { bytesOf } from "./dtype.ts";
import type { GgufTensor } from "./gguf.ts";

/** The official name, with the tensor's rank: 1 for a vector, whatever its shape in the file. Several names: equal parts, in order. */
type Target = readonly [rank: 1 | 2 | 3, ...names: string[]];

/** What versions 6 and 7 share outside the layers. */
const MODEL: Readonly<Record<string, Target>> = {
  "token_embd.weight": [2, "emb.weight"],
  "token_embd_norm.weight": [1, "blocks.0.ln0.weight"],
  "token_embd_norm.bias": [1, "blocks.0.ln0.bias"],
  "output_norm.weight": [1, "ln_out.weight"],
  "output_norm.bias": [1, "ln_out.bias"],
  "output.weight": [2, "head.weight"],
};

/** What versions 6 and 7 share in a layer. */
const LAYER: Readonly<Record<string, Target>> = {
  "attn_norm.weight": [1, "ln1.weight"],
  "attn_norm.bias": [1, "ln1.bias"],
  "attn_norm_2.weight": [1, "ln2.weight"],
  "attn_norm_2.bias": [1, "ln2.bias"],
  "time_mix_ln.weight": [1, "att.ln_x.weight"],
  "time_mix_ln.bias": [1, "att.ln_x.bias"],
  "time_mix_receptance.weight": [2, "att.receptance.weight"],
  "time_mix_key.weight": [2, "att.key.weight"],
  "time_mix_value.weight": [2, "att.value.weight"],
  "time_mix_output.weight": [2, "att.output.weight"],
  "channel_mix_key.weight": [2, "ffn.key.weight"],
  "channel_mix_value.weight": [2, "ffn.value.weight"],
};

const LAYERS: Readonly<Record<string, Readonly<Record<string, Target>>>> = {
  rwkv6: {
    ...LAYER,
    "time_mix_gate.weight": [2, "att.gate.weight"],
    "time_mix_lerp_x.weight": [1, "att.time_maa_x"],
    "time_mix_lerp_fused.weight": [
      1,
      "att.time_maa_w",
      "att.time_maa_k",
      "att.time_maa_v",
      "att.time_maa_r",
      "att.time_maa_g",
    ],
    // Files from before llama.cpp joined the five.
    "time_mix_lerp_w.weight": [1, "att.time_maa_w"],
    "time_mix_lerp_k.weight": [1, "att.time_maa_k"],
    "time_mix_lerp_v.weight": [1, "att.time_maa_v"],
    "time_mix_lerp_r.weight": [1, "att.time_maa_r"],
    "time_mix_lerp_g.weight": [1, "att.time_maa_g"],
    "time_mix_w1.weight": [2, "att.time_maa_w1"],
    "time_mix_w2.weight": [3, "att.time_maa_w2"],
    "time_mix_first.weight": [1, "att.time_faaaa"],
    "time_mix_decay.weight": [1, "att.time_decay"],
    "time_mix_decay_w1.weight": [2, "att.time_decay_w1"],
    "time_mix_decay_w2.weight": [2, "att.time_decay_w2"],
    "channel_mix_lerp_k.weight": [1, "ffn.time_maa_k"],
    "channel_mix_lerp_r.weight": [1, "ffn.time_maa_r"],
    "channel_mix_receptance.weight": [2, "ffn.receptance.weight"],
  },
  rwkv7: {
    ...LAYER,
    "time_mix_lerp_fused.weight": [1, "att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g"],
    "time_mix_w0.weight": [1, "att.w0"],
    "time_mix_w1.weight": [2, "att.w1"],
    "time_mix_w2.weight": [2, "att.w2"],
    "time_mix_a0.weight": [1, "att.a0"],
    "time_mix_a1.weight": [2, "att.a1"],
    "time_mix_a2.weight": [2, "att.a2"],
    "time_mix_v0.weight": [1, "att.v0"],
    "time_mix_v1.weight": [2, "att.v1"],
    "time_mix_v2.weight": [2, "att.v2"],
    "time_mix_g1.weight": [2, "att.g1"],
    "time_mix_g2.weight": [2, "att.g2"],
    "time_mix_k_k.weight": [1, "att.k_k"],
    "time_mix_k_a.weight": [1, "att.k_a"],
    "time_mix_r_k.weight": [1, "att.r_k"],
    "channel_mix_lerp_k.weight": [1, "ffn.x_k"],
  },
};

/** The architectures whose GGUF names are known. */
export const GGUF_ARCHITECTURES: readonly string[] = Object.keys(LAYERS);

/** A layer's tensor in a GGUF file. Numbers are written without leading zeros, so that a name means one tensor only. */
const IN_LAYER = /^blk\.(0|[1-9]\d{0,4})\.(.+)$/;

const PLACEHOLDER = /^blk\.0\.time_mix_v[012]\.weight$/;

/**
 * The tensors of a GGUF file by official name, and the names that mean nothing here. A fused tensor becomes one
 * entry for each of its parts.
 *
 * Errors: `weights` when two tensors claim one name, or a shape cannot be what the name says.
 */
export function namesFromGguf(
  source: Source,
  architecture: string,
  found: readonly GgufTensor[],
): { tensors: Map<string, TensorInfo>; unknown: string[] } {
  const tensors = new Map<string, TensorInfo>();
  const unknown: string[] = [];
  for (const tensor of found) {
    if (architecture === "rwkv7" && PLACEHOLDER.test(tensor.name)) continue;
    const target = targetOf(architecture, tensor.name);
    if (!target) {
      unknown.push(tensor.name);
      continue;
    }
    for (const info of place(source, tensor, target)) {
      const other = tensors.get(info.name);
      if (other) throw conflict(source, `tensors "${other.fileName}" and "${tensor.name}" both hold ${info.name}`);
      tensors.set(info.name, info);
    }
  }
  return { tensors, unknown };
}

/** What a name in the file stands for, with its layer put in. */
function targetOf(architecture: string, name: string): Target | undefined {
  const layer = IN_LAYER.exec(name);
  if (!layer) return own(MODEL, name);
  const target = own(LAYERS[architecture], layer[2]);
  if (!target) return undefined;
  const [rank, ...names] = target;
  return [rank, ...names.map((part) => `blocks.${layer[1]}.${part}`)];
}

/** A table's entry, but not what it inherits: a file may well name a tensor `constructor`. */
function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

function place(source: Source, tensor: GgufTensor, [rank, ...names]: Target): TensorInfo[] {
  const { dtype, dims } = tensor;
  const count = dims.reduce((product, n) => product * n, 1) / names.length;
  const bytes = bytesOf(dtype, count);
  if (bytes === undefined)
    throw conflict(
      source,
      `tensor "${tensor.name}" (${dims.join(" x ")}, ${dtype}) cannot be cut into ${names.length} parts`,
    );
  if (rank > 1 && dims.slice(rank).some((n) => n !== 1))
    throw conflict(
      source,
      `tensor "${tensor.name}" has sizes ${dims.join(" x ")}, but ${rank} dimensions were expected`,
    );
  const shape = rank === 1 ? [count] : Array.from({ length: rank }, (_, d) => dims[d] ?? 1).reverse();
  return names.map((name, part) => ({
    name,
    fileName: tensor.name,
    dtype,
    shape,
    transposed: false,
    source,
    offset: tensor.offset + part * bytes,
    bytes,
  }));
}

function conflict(source: Source, problem: string): RwkvError {
  return new RwkvError("weights", `${source.name}: ${problem}`);
}
