/** From a model's file to the same model in another one. */

import { checkOptions, type Names, shown } from "../checks.ts";
import type { KernelsOption } from "../engine/given.ts";
import type { Platform } from "../engine/platform.ts";
import { isRecipe, RECIPES, type Recipe } from "../engine/weight-types.ts";
import { RwkvError } from "../errors.ts";
import { CONTAINERS, type Container, convert } from "../model/convert.ts";
import type { LoadProgress } from "../model/load.ts";
import { CONVERT_TYPES, type ConvertType } from "../model/to-gguf.ts";
import type { Source, TensorFile, Vocabulary } from "../types.ts";
import { openWeights } from "../weights/open.ts";
import type { Sink } from "../weights/sink.ts";
import { withKernels } from "./plan.ts";
import { type ModelSource, SOURCE_NAMES, type SourceOptions, sourceOf, warnOf } from "./source.ts";
import { chooseTokenizer, type VocabularyOption } from "./tokenizer.ts";

export interface ConvertOptions extends SourceOptions {
  /** What is written. Default: "gguf". */
  container?: Container;
  /** What the large matrices become, embedding and head included; or the recipe "q4_mix". Default: as in the file. */
  type?: ConvertType | Recipe;
  /**
   * For GGUF: the vocabulary to put inside, as for `load`; "none" leaves it out. Default: as in a GGUF file; for others, as
   * `load` would choose it.
   */
  vocabulary?: VocabularyOption;
  /** As for `load`. */
  kernels?: KernelsOption;
  /** Called as tensors are read. */
  onProgress?: (progress: LoadProgress) => void;
}

const NAMES: Names<ConvertOptions> = {
  ...SOURCE_NAMES,
  container: 1,
  type: 1,
  vocabulary: 1,
  kernels: 1,
  onProgress: 1,
};

export async function convertModel(
  platform: Platform,
  from: ModelSource,
  sink: Sink,
  options: ConvertOptions = {},
): Promise<void> {
  if (typeof sink?.write !== "function") {
    throw new RwkvError("input", `convert writes to an object with a function write(bytes), not to ${shown(sink)}.`);
  }
  checkOptions("convert", options, NAMES);
  const { container = "gguf", type, signal, onProgress } = options;
  if (!CONTAINERS.includes(container))
    throw new RwkvError("input", `container must be one of ${CONTAINERS.join(", ")}, not ${shown(container)}.`);
  if (type !== undefined && !isRecipe(type) && !CONVERT_TYPES.includes(type))
    throw new RwkvError(
      "input",
      `type must be one of ${[...CONVERT_TYPES, ...RECIPES].join(", ")}, not ${shown(type)}.`,
    );
  const source = await sourceOf(platform, from, options);
  const file = await openWeights(source, signal);
  try {
    warnOf(file, options.onWarning);
    const vocabulary = (tokens: number) => vocabularyOf(platform, file, source, tokens, options);
    const kernels = await (await withKernels(platform, options.kernels, signal)).kernels("plain");
    await convert(file, sink, kernels, { container, type, vocabulary, onProgress, signal });
  } finally {
    await file.close();
  }
}

/** The vocabulary to write; `undefined` keeps that of a GGUF file, whatever it is; `null` is none. */
async function vocabularyOf(
  platform: Platform,
  file: TensorFile,
  source: Source,
  rows: number,
  { vocabulary, signal }: ConvertOptions,
): Promise<Vocabulary | null | undefined> {
  if (vocabulary === "none") return null;
  if (vocabulary === undefined && file.container === "gguf" && file.facts.has("tokenizer")) return undefined;
  const { tokenizer, note } = await chooseTokenizer(platform, vocabulary, file, source, rows, signal);
  if (!tokenizer)
    throw new RwkvError("input", `${file.name} has no vocabulary to put into GGUF: ${note}; "none" leaves it out.`);
  const { kind, bos, eos } = tokenizer;
  if (kind !== "world" && kind !== "bytes")
    throw new RwkvError(
      "unsupported",
      `${file.name}: a vocabulary of the kind "${kind}" has no place in the GGUF file of an RWKV; give one in the World format, or "none".`,
    );
  return { kind, tokens: Array.from({ length: rows }, (_, id) => tokenizer.bytes(id)), bos, eos };
}
