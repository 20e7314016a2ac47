/**
 * GGUF's names and shapes, which are those of llama.cpp's converter. It stores every matrix as (outputs, inputs), LoRA
 * matrices too; and it joins the token-shift vectors of a layer into one tensor.
 */
import { type Kind, LAYER, type Naming, own, type Target } from "./names.ts";

/** What the tensor is, and its official name without the layer; several names: equal parts, in order. */
type Entry = readonly [kind: Kind, ...names: string[]];

/** What versions 6 and 7 share outside the layers. */
const MODEL: Readonly<Record<string, Entry>> = {
  "token_embd.weight": ["matrix", "emb.weight"],
  "token_embd_norm.weight": ["vector", "blocks.0.ln0.weight"],
  "token_embd_norm.bias": ["vector", "blocks.0.ln0.bias"],
  "output_norm.weight": ["vector", "ln_out.weight"],
  "output_norm.bias": ["vector", "ln_out.bias"],
  "output.weight": ["matrix", "head.weight"],
};

/** What versions 6 and 7 share in a layer, at its beginning and at its end. */
const TIME_MIX: Readonly<Record<string, Entry>> = {
  "attn_norm.weight": ["vector", "ln1.weight"],
  "attn_norm.bias": ["vector", "ln1.bias"],
  "attn_norm_2.weight": ["vector", "ln2.weight"],
  "attn_norm_2.bias": ["vector", "ln2.bias"],
  "time_mix_ln.weight": ["vector", "att.ln_x.weight"],
  "time_mix_ln.bias": ["vector", "att.ln_x.bias"],
  "time_mix_receptance.weight": ["matrix", "att.receptance.weight"],
  "time_mix_key.weight": ["matrix", "att.key.weight"],
  "time_mix_value.weight": ["matrix", "att.value.weight"],
  "time_mix_output.weight": ["matrix", "att.output.weight"],
};
const CHANNEL_MIX: Readonly<Record<string, Entry>> = {
  "channel_mix_key.weight": ["matrix", "ffn.key.weight"],
  "channel_mix_value.weight": ["matrix", "ffn.value.weight"],
};

const LAYERS: Readonly<Record<string, Readonly<Record<string, Entry>>>> = {
  rwkv6: {
    ...TIME_MIX,
    "time_mix_gate.weight": ["matrix", "att.gate.weight"],
    "time_mix_lerp_x.weight": ["vector", "att.time_maa_x"],
    "time_mix_lerp_fused.weight": [
      "vector",
      "att.time_maa_w",
      "att.time_maa_k",
      "att.time_maa_v",
      "att.time_maa_r",
      "att.time_maa_g",
    ],
    // Files from before llama.cpp joined the five.
    "time_mix_lerp_w.weight": ["vector", "att.time_maa_w"],
    "time_mix_lerp_k.weight": ["vector", "att.time_maa_k"],
    "time_mix_lerp_v.weight": ["vector", "att.time_maa_v"],
    "time_mix_lerp_r.weight": ["vector", "att.time_maa_r"],
    "time_mix_lerp_g.weight": ["vector", "att.time_maa_g"],
    "time_mix_w1.weight": ["matrix", "att.time_maa_w1"],
    "time_mix_w2.weight": ["matrices", "att.time_maa_w2"],
    "time_mix_first.weight": ["vector", "att.time_faaaa"],
    "time_mix_decay.weight": ["vector", "att.time_decay"],
    "time_mix_decay_w1.weight": ["matrix", "att.time_decay_w1"],
    "time_mix_decay_w2.weight": ["matrix", "att.time_decay_w2"],
    "channel_mix_lerp_k.weight": ["vector", "ffn.time_maa_k"],
    "channel_mix_lerp_r.weight": ["vector", "ffn.time_maa_r"],
    "channel_mix_receptance.weight": ["matrix", "ffn.receptance.weight"],
    ...CHANNEL_MIX,
  },
  rwkv7: {
    ...TIME_MIX,
    "time_mix_lerp_fused.weight": ["vector", "att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g"],
    "time_mix_w1.weight": ["matrix", "att.w1"],
    "time_mix_w2.weight": ["matrix", "att.w2"],
    "time_mix_w0.weight": ["vector", "att.w0"],
    "time_mix_a1.weight": ["matrix", "att.a1"],
    "time_mix_a2.weight": ["matrix", "att.a2"],
    "time_mix_a0.weight": ["vector", "att.a0"],
    "time_mix_v1.weight": ["matrix", "att.v1"],
    "time_mix_v2.weight": ["matrix", "att.v2"],
    "time_mix_v0.weight": ["vector", "att.v0"],
    "time_mix_g1.weight": ["matrix", "att.g1"],
    "time_mix_g2.weight": ["matrix", "att.g2"],
    "time_mix_k_k.weight": ["vector", "att.k_k"],
    "time_mix_k_a.weight": ["vector", "att.k_a"],
    "time_mix_r_k.weight": ["vector", "att.r_k"],
    "channel_mix_lerp_k.weight": ["vector", "ffn.x_k"],
    ...CHANNEL_MIX,
  },
};

/** The architectures whose GGUF names are known. */
export const GGUF_ARCHITECTURES: readonly string[] = Object.keys(LAYERS);

const IN_LAYER = new RegExp(`^blk\\.${LAYER}\\.(.+)$`);

/** What GGUF's names mean in a file of this architecture. */
export function ggufNaming(architecture: string): Naming {
  return (name): Target | undefined => {
    const layer = IN_LAYER.exec(name);
    const entry = layer ? own(LAYERS[architecture], layer[2]) : own(MODEL, name);
    if (!entry) return undefined;
    const [kind, ...names] = entry;
    return { kind, names: layer ? names.map((part) => `blocks.${layer[1]}.${part}`) : names };
  };
}

/** A tensor as llama.cpp wants it, and the official ones that it is made of, in order. */
export interface GgufName {
  readonly name: string;
  readonly kind: Kind;
  readonly names: readonly string[];
}

/**
 * All tensors that a model of this architecture may have in GGUF, in the order in which llama.cpp's converter writes them. As
 * there, the first layer's tensors for a value residual, which nothing uses and llama.cpp wants, repeat `a0`, `a1` and `a2`.
 */
export function ggufNames(architecture: string, layers: number): GgufName[] {
  const model = Object.entries(MODEL).map(([name, [kind, ...names]]) => ({ name, kind, names }));
  const inLayers: GgufName[] = [];
  for (let i = 0; i < layers; i++) {
    const placed = new Set<string>();
    for (const [name, [kind, ...parts]] of Object.entries(LAYERS[architecture])) {
      // What comes first is the newer way.
      if (parts.some((part) => placed.has(part))) continue;
      for (const part of parts) placed.add(part);
      const names = parts.map((part) => `blocks.${i}.${i === 0 ? part.replace(/^att\.v([012])$/, "att.a$1") : part}`);
      inLayers.push({ name: `blk.${i}.${name}`, kind, names });
    }
  }
  const isLast = ({ name }: GgufName) => name.startsWith("output");
  return [...model.filter((entry) => !isLast(entry)), ...inLayers, ...model.filter(isLast)];
}
