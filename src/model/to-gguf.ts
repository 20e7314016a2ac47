/**
 * A model as llama.cpp wants it in GGUF: names, shapes, types and metadata, as its own converter writes them. It runs versions
 * 6 and 7; what it cannot take is refused by name.
 * (github.com/ggml-org/llama.cpp: conversion/rwkv.py, src/models/rwkv6.cpp and rwkv7.cpp, src/llama-quant.cpp)
 */
import { RwkvError } from "../errors.ts";
import type { DType, TensorFile, TensorInfo, Vocabulary } from "../types.ts";
import { fileNameOf } from "../weights/beside.ts";
import { DTYPES } from "../weights/dtype.ts";
import type { GgufFile } from "../weights/gguf-open.ts";
import type { GgufValue } from "../weights/gguf-values.ts";
import { vocabularyToGguf } from "../weights/gguf-vocabulary.ts";
import { type GgufName, ggufNames } from "../weights/names-gguf.ts";
import type { Config } from "./config.ts";
import { exactType, type Output, type Part } from "./pieces.ts";
import type { Prepared } from "./recipes.ts";

/** What `general.file_type` says of a file whose matrices have this type: llama.cpp's `llama_ftype`. */
const FILE_TYPES = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 7, q5_0: 8, q5_1: 9, bf16: 32 } as const satisfies Partial<
  Record<DType, number>
>;
/** The types that the large matrices of a file can be written in. */
export type ConvertType = keyof typeof FILE_TYPES;
export const CONVERT_TYPES = Object.keys(FILE_TYPES) as readonly ConvertType[];

/** Which layout of quantised blocks a file has: ggml's `GGML_QNT_VERSION`. */
const QUANTIZATION_VERSION = 2;

/** No state that RWKV has limits how long a text may be; llama.cpp's converter says so. */
const CONTEXT_LENGTH = 1 << 20;

/** What a recipe makes, with scales that are searched for. */
const SEARCHED: readonly DType[] = ["q4_0", "q5_0"];

/** Small matrices that decide much: low-rank maps. They stay as they are. */
const LOW_RANK = /\.time_mix_([wavg][12]|decay_w[12])\.weight$/;

/** A model in GGUF, but for its numbers, and a vocabulary if the metadata brings none. */
export interface GgufModel {
  readonly metadata: Map<string, GgufValue>;
  readonly outputs: Output[];
}

/**
 * `type`: what the large matrices become, embedding and head included, all of them or by a recipe; else they stay as they are. With a
 * recipe an embedding of floats becomes q8_0. Those whose rows are no
 * multiple of the type's block stay too. Low-rank maps keep their type, but bfloat16 becomes f32, as not all that reads GGUF
 * multiplies it; all vectors are f32.
 *
 * Errors: `unsupported` for what llama.cpp does not run, saying why.
 */
export function toGguf(file: TensorFile, config: Config, type?: ConvertType | Prepared): GgufModel {
  if (config.version !== "6" && config.version !== "7")
    throw refusal(file, `it is RWKV-${config.version}, and GGUF is defined for versions 6 and 7`);
  if (!file.tensors.has("blocks.0.ln0.weight"))
    throw refusal(file, "it has no ln0 (that norm was merged into its embedding), which llama.cpp requires");
  if (file.tensors.has("head.bias")) throw refusal(file, "its head has a bias, which llama.cpp does not know");
  const names = ggufNames(`rwkv${config.version}`, config.layers);
  const outputs = names.map((name) => outputOf(file, config, name, type));
  const most = typeof type === "string" ? type : mostOf(outputs);
  const fileType = FILE_TYPES[most as ConvertType] as number | undefined;
  return { metadata: metadataOf(file, config, fileType), outputs };
}

function refusal(file: TensorFile, why: string): RwkvError {
  return new RwkvError("unsupported", `${file.name} cannot become GGUF: ${why}; safetensors can hold it`);
}

function outputOf(
  file: TensorFile,
  config: Config,
  { name, kind, names }: GgufName,
  type?: ConvertType | Prepared,
): Output {
  const tensors = names.map((official) => tensorOf(file, official));
  const [first] = tensors;
  const scalingOf = (official: string) => (typeof type === "object" ? type.equalizer.scalingOf(official) : undefined);
  if (kind === "matrix" || kind === "matrices") {
    const part: Part = { tensor: first, turned: first.transposed, scaling: scalingOf(names[0]) };
    const dtype = matrixType(name, part, typeof type === "object" ? recipeType(names[0], first, type) : type);
    return {
      name,
      shape: first.shape,
      dtype,
      parts: [{ ...part, searched: typeof type === "object" && SEARCHED.includes(dtype) }],
    };
  }
  const parts = tensors.map((tensor, i) => ({ tensor, scaling: scalingOf(names[i]) }));
  const count = first.shape.reduce((a, b) => a * b, 1);
  return { name, shape: vectorShape(name, parts.length, count, config), dtype: "f32", parts };
}

/** Token shifts have sizes of 1, as they are multiplied with rows of tokens. */
function vectorShape(name: string, parts: number, count: number, { heads, headSize }: Config): number[] {
  if (parts > 1) return [parts, 1, 1, count];
  if (name.includes("_lerp_")) return [1, 1, count];
  return name.endsWith("time_mix_first.weight") ? [heads, headSize] : [count];
}

/** The plan of the model has made sure that all of these are there, but for a head of its own. */
function tensorOf(file: TensorFile, official: string): TensorInfo {
  const found = file.tensors.get(official) ?? file.tensors.get("emb.weight")!;
  if (found.name !== official && official !== "head.weight")
    throw new RwkvError("weights", `${file.name} lacks the tensor ${official}`);
  return found;
}

function matrixType(name: string, part: Part, type: ConvertType | undefined): DType {
  const exact = exactType(part);
  if (LOW_RANK.test(name)) return exact === "bf16" ? "f32" : exact;
  return type && part.tensor.shape.at(-1)! % DTYPES[type].values === 0 ? type : exact;
}

/** What a recipe makes of a matrix. An embedding is only looked up: 8 bits of it cost no time. */
function recipeType(official: string, { dtype }: TensorInfo, recipe: Prepared): ConvertType | undefined {
  if (official !== "emb.weight") return recipe.typeOf(official);
  return DTYPES[dtype].values === 1 ? "q8_0" : undefined;
}

/** The type that most of the numbers have. */
function mostOf(outputs: readonly Output[]): DType | undefined {
  const counts = new Map<DType, number>();
  for (const { dtype, shape } of outputs) {
    counts.set(dtype, (counts.get(dtype) ?? 0) + shape.reduce((a, b) => a * b, 1));
  }
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

type Metadata = Map<string, GgufValue>;

function metadataOf(file: TensorFile, config: Config, fileType: number | undefined): Metadata {
  const architecture = `rwkv${config.version}`;
  const source = (file as Partial<GgufFile>).metadata;
  // What was true of a part of a split model only is left out.
  const kept = source && [...source].filter(([key]) => !key.startsWith("split."));
  return new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: architecture }],
    ...(kept ?? named(file, architecture)),
    ...sizes(file, config, architecture),
    ["general.quantization_version", { type: "u32", value: QUANTIZATION_VERSION }],
    ...(fileType === undefined ? [] : [["general.file_type", { type: "u32", value: fileType }] as const]),
  ]);
}

/** Puts a vocabulary in the place of the one that is there; `null` leaves only the number of tokens. */
export function putVocabulary(metadata: Metadata, config: Config, vocabulary: Vocabulary | null): void {
  for (const key of metadata.keys()) if (key.startsWith("tokenizer.")) metadata.delete(key);
  const entries: Iterable<[string, GgufValue]> = vocabulary
    ? vocabularyToGguf(vocabulary)
    : [
        [`rwkv${config.version}.vocab_size`, { type: "u32", value: config.vocab }],
        ["tokenizer.ggml.model", { type: "string", value: "no_vocab" }],
      ];
  for (const [key, value] of entries) metadata.set(key, value);
}

/** What is said of files that say nothing of themselves: the name they have. */
function named(file: TensorFile, architecture: string): Metadata {
  const name = fileNameOf(file).replace(/(-\d{5}-of-\d{5}|\.safetensors\.index)?\.\w+$/, "");
  return new Map([
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: name }],
    [`${architecture}.context_length`, { type: "u32", value: CONTEXT_LENGTH }],
  ]);
}

/** The keys that llama.cpp reads about a model's shape. */
function sizes(file: TensorFile, config: Config, architecture: string): Metadata {
  const { layers, width, ffn, headSize, normEps, rescaleEvery } = config;
  const rank = (name: string) => rankOf(file, layers, name);
  const numbers: Record<string, number> =
    architecture === "rwkv6"
      ? {
          rescale_every_n_layers: rescaleEvery,
          time_mix_extra_dim: rank("time_maa_w1") / 5,
          time_decay_extra_dim: rank("time_decay_w1"),
        }
      : {
          "attention.decay_lora_rank": rank("w1"),
          "attention.iclr_lora_rank": rank("a1"),
          "attention.value_residual_mix_lora_rank": rank(layers > 1 ? "v1" : "a1"),
          "attention.gate_lora_rank": rank("g1"),
        };
  const entries = Object.entries({
    embedding_length: width,
    block_count: layers,
    feed_forward_length: ffn,
    "wkv.head_size": headSize,
    "attention.head_count": 0, // the key has to be there, and is not used
    ...numbers,
  });
  return new Map<string, GgufValue>([
    ...entries.map(([key, value]) => [`${architecture}.${key}`, { type: "u32", value }] as const),
    [`${architecture}.attention.layer_norm_epsilon`, { type: "f32", value: normEps }],
  ]);
}

/** The rank of a low-rank map, which in llama.cpp all layers share. */
function rankOf(file: TensorFile, layers: number, name: string): number {
  const ranks = new Set<number>();
  for (let i = 0; i < layers; i++) {
    const tensor = file.tensors.get(`blocks.${i}.att.${name}`);
    if (tensor) ranks.add(tensor.shape[0]);
  }
  if (ranks.size > 1)
    throw refusal(
      file,
      `the ranks of ${name} differ between its layers (${[...ranks].join(", ")}), which llama.cpp does not know`,
    );
  return [...ranks][0];
}
