/**
 * Official names: those of BlinkDL's checkpoints, in `.pth` and `.safetensors`, and, with small differences, in rwkv.cpp's
 * files. The low-rank matrices are used as x @ w there, so the file holds (inputs, outputs).
 */
import type { Form } from "../types.ts";
import { type Kind, LAYER, type Naming, own, type Target } from "./names.ts";

type Entry = readonly [kind: Kind, transposed?: boolean];

const VECTOR: Entry = ["vector"];
const HEADS: Entry = ["heads"];
const MATRIX: Entry = ["matrix"];
const LORA: Entry = ["matrix", true];

const all = (names: string, entry: Entry): Record<string, Entry> =>
  Object.fromEntries(names.split(" ").map((name) => [name, entry]));

const MODEL: Readonly<Record<string, Entry>> = {
  ...all("emb.weight head.weight", MATRIX),
  ...all("head.bias ln_out.weight ln_out.bias", VECTOR),
};

const IN_LAYERS: Readonly<Record<string, Entry>> = {
  ...all("ln0.weight ln0.bias ln1.weight ln1.bias ln2.weight ln2.bias att.ln_x.weight att.ln_x.bias", VECTOR),
  ...all("att.receptance.weight att.key.weight att.value.weight att.gate.weight att.output.weight", MATRIX),
  ...all("ffn.receptance.weight ffn.key.weight ffn.value.weight", MATRIX),
  // Versions 4 and 5
  ...all("att.time_mix_k att.time_mix_v att.time_mix_r att.time_mix_g ffn.time_mix_k ffn.time_mix_r", VECTOR),
  ...all("att.time_decay att.time_first att.time_faaaa", HEADS),
  // Version 6
  ...all("att.time_maa_x att.time_maa_w att.time_maa_k att.time_maa_v att.time_maa_r att.time_maa_g", VECTOR),
  ...all("ffn.time_maa_k ffn.time_maa_r", VECTOR),
  ...all("att.time_maa_w1 att.time_decay_w1 att.time_decay_w2", LORA),
  ...all("att.time_maa_w2", ["matrices", true]),
  // Version 7
  ...all("att.x_r att.x_w att.x_k att.x_v att.x_a att.x_g ffn.x_k", VECTOR),
  ...all("att.w0 att.a0 att.v0 att.k_k att.k_a", VECTOR),
  ...all("att.w1 att.w2 att.a1 att.a2 att.v1 att.v2 att.g1 att.g2", LORA),
  ...all("att.r_k", HEADS),
};

const IN_LAYER = new RegExp(`^blocks\\.${LAYER}\\.(.+)$`);

/** Names as official checkpoints have them. */
export const officialNaming: Naming = (name) => {
  const layer = IN_LAYER.exec(name);
  const entry = layer ? own(IN_LAYERS, layer[2]) : own(MODEL, name);
  return entry && { kind: entry[0], names: [name], ...(entry[1] && { transposed: true }) };
};

/**
 * Names in rwkv.cpp's files, whose converter turns the low-rank matrices, joins version 7's token-shift vectors, and applies
 * functions to decay and bonus that depend on the version, so it has to be found first, from the names.
 */
export function ggmfNaming(names: readonly string[]): { naming: Naming; version: 4 | 5 | 6 | 7 } {
  const has = new Set(names);
  const first = (part: string) => has.has(`blocks.0.att.${part}`);
  const version = first("r_k") ? 7 : first("time_maa_x") ? 6 : first("ln_x.weight") ? 5 : 4;
  const forms: Readonly<Record<string, Form>> =
    version === 4
      ? { time_decay: "-exp(x)" }
      : version === 5
        ? { time_decay: "exp(-exp(x))", time_first: "exp(x)" }
        : {};
  const naming = (name: string): Target | undefined => {
    const [, layer, part] = /^blocks\.(\d+)\.att\.(.+)$/.exec(name) ?? [];
    if (part === "x_rwkvag" && officialNaming(`blocks.${layer}.att.x_r`))
      return { kind: "vector", names: [..."rwkvag"].map((c) => `blocks.${layer}.att.x_${c}`) };
    const target = officialNaming(name);
    if (!target) return undefined;
    const form = part === undefined ? undefined : own(forms, part);
    // Version 6 has one decay per channel, which the converter groups by heads.
    const kind = version === 6 && part === "time_decay" ? "vector" : target.kind;
    return { kind, names: target.names, ...(form && { form }) };
  };
  return { naming, version };
}
