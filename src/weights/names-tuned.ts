/**
 * Names in the files that fine-tuning leaves, as RWKV-PEFT and RWKV-LM-LoRA write them: halves of low-rank changes, tuned states,
 * and beside them whole tensors under official names. What other methods leave is known too, so that it can be refused by name.
 */
import { LAYER, type Naming } from "./names.ts";
import { officialNaming } from "./names-official.ts";

/** A half of a low-rank change to the matrix `$1.weight`: A is [rank, inputs], B is [outputs, rank]. */
export const LORA_HALF = /^(.+)\.lora_([AB])$/;
/** A layer's tuned state. */
export const STATE = new RegExp(`^blocks\\.${LAYER}\\.att\\.time_state$`);
/** What adapters of any kind are called: Bone, DiSHA, DoRA, PiSSA's start, LoRA as web-rwkv has it, ... */
export const ADAPTER = /\.(init_)?(lora|bone|disha|gbmm)\b|\.(init_)?lora_/;

/** PEFT's own way: `base_model.model.blocks.0.att.key.lora_A.weight`, in checkpoints of a training `.lora_A.default.weight`. */
const plainName = (name: string): string =>
  name.replace(/^base_model\.model\./, "").replace(/\.(lora_[AB])(\.default)?\.weight$/, ".$1");

/** Whether tensors of these names are what fine-tuning leaves, and not a model, of which an embedding is a part. */
export function areTuned(names: readonly string[]): boolean {
  const plain = names.map(plainName);
  return !plain.includes("emb.weight") && plain.some((name) => LORA_HALF.test(name) || STATE.test(name));
}

export const tunedNaming: Naming = (found) => {
  const name = plainName(found);
  const half = LORA_HALF.exec(name);
  const matrix = half && officialNaming(`${half[1]}.weight`);
  if (matrix?.kind === "matrix" && !matrix.transposed && half![1] !== "emb") return { kind: "matrix", names: [name] };
  if (STATE.test(name)) return { kind: "matrices", names: [name] };
  if (ADAPTER.test(name)) return { kind: "vector", names: [name] };
  return officialNaming(name);
};
