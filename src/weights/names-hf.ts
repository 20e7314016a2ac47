/**
 * Names of models made for Hugging Face's transformers: its own RWKV-4, the remote-code models of versions 5 and 6 that
 * followed, and RWKV-7 of the library flash-linear-attention (fla), which stores low-rank matrices as (outputs, inputs).
 */
import { type FileTensor, type Kind, LAYER, type Naming, own, type Target } from "./names.ts";
import { officialNaming } from "./names-official.ts";
import { areTuned, tunedNaming } from "./names-tuned.ts";

const MODEL: Readonly<Record<string, string>> = {
  "rwkv.embeddings.weight": "emb.weight",
  "rwkv.ln_out.weight": "ln_out.weight",
  "rwkv.ln_out.bias": "ln_out.bias",
  "head.weight": "head.weight",
  "head.bias": "head.bias",
};

const IN_LAYER = new RegExp(`^rwkv\\.blocks\\.${LAYER}\\.(.+)$`);

/** `rwkv.blocks.0.attention.time_mix_key` is `blocks.0.att.time_mix_k`. */
const transformersNaming: Naming = (name) => {
  const layer = IN_LAYER.exec(name);
  if (!layer) return officialNaming(own(MODEL, name) ?? "");
  const part = layer[2]
    .replace(/^pre_ln\./, "ln0.")
    .replace(/^attention\./, "att.")
    .replace(/^feed_forward\./, "ffn.")
    .replace(/\.time_mix_(key|value|receptance|gate)$/, (_, long: string) => `.time_mix_${long[0]}`);
  return officialNaming(`blocks.${layer[1]}.${part}`);
};

/** What the tensor is, and its official name without the layer; several names: equal parts, in order. */
type Entry = readonly [kind: Kind, ...names: string[]];

const FLA_MODEL: Readonly<Record<string, Entry>> = {
  "model.embeddings.weight": ["matrix", "emb.weight"],
  "model.norm.weight": ["vector", "ln_out.weight"],
  "model.norm.bias": ["vector", "ln_out.bias"],
  "lm_head.weight": ["matrix", "head.weight"],
};

const each = (letters: string, entry: (letter: string) => [name: string, entry: Entry]) =>
  Object.fromEntries([...letters].map(entry));

const FLA_LAYER: Readonly<Record<string, Entry>> = {
  "pre_norm.weight": ["vector", "ln0.weight"],
  "pre_norm.bias": ["vector", "ln0.bias"],
  "attn_norm.weight": ["vector", "ln1.weight"],
  "attn_norm.bias": ["vector", "ln1.bias"],
  "ffn_norm.weight": ["vector", "ln2.weight"],
  "ffn_norm.bias": ["vector", "ln2.bias"],
  "attn.r_proj.weight": ["matrix", "att.receptance.weight"],
  "attn.k_proj.weight": ["matrix", "att.key.weight"],
  "attn.v_proj.weight": ["matrix", "att.value.weight"],
  "attn.o_proj.weight": ["matrix", "att.output.weight"],
  "attn.g_norm.weight": ["vector", "att.ln_x.weight"],
  "attn.g_norm.bias": ["vector", "att.ln_x.bias"],
  // Early files have the six in one.
  "attn.x_x": ["vector", "att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g"],
  ...each("rwkvag", (c) => [`attn.x_${c}`, ["vector", `att.x_${c}`]]),
  ...each("wavg", (c) => [`attn.${c}_lora.lora.0.weight`, ["matrix", `att.${c}1`]]),
  ...each("wavg", (c) => [`attn.${c}_lora.lora.2.weight`, ["matrix", `att.${c}2`]]),
  ...each("wav", (c) => [`attn.${c}_lora.lora.2.bias`, ["vector", `att.${c}0`]]),
  "attn.k_k": ["vector", "att.k_k"],
  "attn.k_a": ["vector", "att.k_a"],
  "attn.r_k": ["heads", "att.r_k"],
  "ffn.x_k": ["vector", "ffn.x_k"],
  "ffn.key.weight": ["matrix", "ffn.key.weight"],
  "ffn.value.weight": ["matrix", "ffn.value.weight"],
};

const IN_FLA_LAYER = new RegExp(`^model\\.layers\\.${LAYER}\\.(.+)$`);

const flaNaming: Naming = (name): Target | undefined => {
  const layer = IN_FLA_LAYER.exec(name);
  const entry = layer ? own(FLA_LAYER, layer[2]) : own(FLA_MODEL, name);
  if (!entry) return undefined;
  const [kind, ...names] = entry;
  return { kind, names: layer ? names.map((part) => `blocks.${layer[1]}.${part}`) : names };
};

/** Finds out, from the names themselves, how the tensors of a `.pth` or `.safetensors` file are named. */
export function namingOf(found: readonly FileTensor[]): {
  naming: Naming;
  style: "official" | "transformers" | "fla" | "tuned";
} {
  if (areTuned(found.map(({ name }) => name))) return { naming: tunedNaming, style: "tuned" };
  const any = (pattern: RegExp) => found.some(({ name }) => pattern.test(name));
  if (any(/^rwkv\.blocks\./)) return { naming: transformersNaming, style: "transformers" };
  if (any(/^model\.layers\./)) return { naming: flaNaming, style: "fla" };
  return { naming: officialNaming, style: "official" };
}
