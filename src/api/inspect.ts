/** What a weights file holds and what running it would take, without reading its numbers. */

import { checkOptions } from "../checks.ts";
import { LIMIT } from "../engine/memory.ts";
import { Planner } from "../engine/planner.ts";
import type { Platform } from "../engine/platform.ts";
import { isRecipe } from "../engine/weight-types.ts";
import { configOf, type Version } from "../model/config.ts";
import { planOf } from "../model/plan.ts";
import { prepare } from "../model/recipes.ts";
import { Tensors } from "../model/tensors.ts";
import { type TunedParts, tunedParts } from "../model/tuned.ts";
import type { Form, Source, TensorFile, TensorInfo } from "../types.ts";
import { openWeights } from "../weights/open.ts";
import { arrangementOf, PLAN_NAMES, type PlanOptions } from "./plan.ts";
import { type ModelSource, SOURCE_NAMES, type SourceOptions, sourceOf } from "./source.ts";
import { chooseTokenizer } from "./tokenizer.ts";

/** What the model would be loaded with decides how much memory it takes. */
export type InspectOptions = SourceOptions & PlanOptions;

/** One tensor as the file has it. */
export interface TensorReport {
  /** The official name, and the one in the file. */
  readonly name: string;
  readonly fileName: string;
  /** By GGML's names. */
  readonly type: string;
  /** Slowest first; a matrix counts as (outputs, inputs). */
  readonly shape: readonly number[];
  /** The file holds (inputs, outputs). */
  readonly transposed: boolean;
  /** What a converter has done to the official numbers x. */
  readonly form?: Form;
  readonly bytes: number;
}

/** What is said of every file. */
interface FileReport {
  readonly name: string;
  readonly container: TensorFile["container"];
  /** The files that it lies in, with their sizes in bytes. */
  readonly files: readonly { name: string; bytes: number }[];
  /** Number types in the file. */
  readonly types: Readonly<Record<string, { tensors: number; numbers: number; bytes: number }>>;
  /** Names of tensors in the file that mean nothing here. */
  readonly unknownTensors: readonly string[];
  readonly tensors: readonly TensorReport[];
}

/** A LoRA, or a tuned state. */
export interface TunedReport extends FileReport, TunedParts {}

export interface ModelReport extends FileReport {
  readonly kind: "model";
  readonly version: Version;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly headSize: number;
  readonly ffn: number;
  /** Rows of the embedding. */
  readonly vocab: number;
  readonly parameters: number;
  /** Bytes of memory that `load` would take with these options, and of that, the weights; and whether that much can be addressed. */
  readonly memory: {
    readonly bytes: number;
    readonly weights: number;
    readonly threads: number;
    readonly fits: boolean;
  };
  /** Bytes of a session's state. */
  readonly stateBytes: number;
  readonly vocabulary: {
    /** "world", "bytes", "bpe"; absent if none can be used. */
    readonly kind?: string;
    /** Where it comes from, or why there is none. */
    readonly note: string;
  };
  /** Names, epsilons and sizes that the container states. */
  readonly facts: Readonly<Record<string, number | string>>;
}

export async function inspectModel(
  platform: Platform,
  from: ModelSource,
  options: InspectOptions = {},
): Promise<ModelReport | TunedReport> {
  checkOptions("inspect", options, { ...SOURCE_NAMES, ...PLAN_NAMES });
  const { weights, signal } = options;
  const { arrangement, planner: plan } = await arrangementOf(platform, options, signal);
  const source = await sourceOf(platform, from, options);
  const file = await openWeights(source, signal);
  try {
    for (const warning of file.warnings ?? []) options.onWarning?.(warning);
    const tuned = tunedParts(file);
    if (tuned) return { ...reportOf(source, file), ...tuned };
    const { normEps, headNormEps, rescaleEvery, ...sizes } = configOf(file);
    const planner = new Planner({ ...plan, limit: Number.POSITIVE_INFINITY });
    const type = isRecipe(weights) ? prepare(file) : weights;
    const spec = await planOf(configOf(file), new Tensors(file, planner, type), planner);
    const used = new Set(planner.loads.map(({ tensor }) => tensor.name));
    const tensors = [...file.tensors.values()];
    return {
      ...reportOf(source, file),
      kind: "model",
      ...sizes,
      parameters: tensors.reduce((sum, tensor) => sum + (used.has(tensor.name) ? countOf(tensor) : 0), 0),
      memory: {
        bytes: spec.bytes,
        weights: spec.weightBytes,
        threads: arrangement.threads,
        fits: spec.bytes <= LIMIT,
      },
      stateBytes: spec.slotBytes,
      vocabulary: await vocabularyOf(platform, file, source, sizes.vocab, signal),
      facts: Object.fromEntries(file.facts),
    };
  } finally {
    await file.close();
  }
}

function reportOf(source: Source, file: TensorFile): FileReport {
  const tensors = [...file.tensors.values()];
  return {
    name: String(file.facts.get("general.name") ?? file.name),
    container: file.container,
    files: filesOf(source, tensors),
    types: typesOf(tensors),
    unknownTensors: file.unknown,
    tensors: tensors.map(({ name, fileName, dtype, shape, transposed, form, bytes }) => ({
      name,
      fileName,
      type: dtype,
      shape,
      transposed,
      ...(form && { form }),
      bytes,
    })),
  };
}

const countOf = ({ shape }: TensorInfo): number => shape.reduce((a, b) => a * b, 1);

/** Several parts of one file may have a source each; the file's own comes first. */
function filesOf(first: Source, tensors: readonly TensorInfo[]): ModelReport["files"] {
  const files = new Map<string, number>();
  for (const { name, size } of [first, ...tensors.map(({ source }) => source)]) {
    if (!files.has(name)) files.set(name, size);
  }
  return Array.from(files, ([name, bytes]) => ({ name, bytes }));
}

function typesOf(tensors: readonly TensorInfo[]): ModelReport["types"] {
  const types: Record<string, { tensors: number; numbers: number; bytes: number }> = {};
  for (const tensor of tensors) {
    types[tensor.dtype] ??= { tensors: 0, numbers: 0, bytes: 0 };
    const type = types[tensor.dtype]!;
    type.tensors++;
    type.numbers += countOf(tensor);
    type.bytes += tensor.bytes;
  }
  return types;
}

/** A vocabulary that cannot be read is not a reason to say nothing of the model. */
async function vocabularyOf(
  platform: Platform,
  file: TensorFile,
  source: Source,
  rows: number,
  signal?: AbortSignal,
): Promise<ModelReport["vocabulary"]> {
  try {
    const { tokenizer, note } = await chooseTokenizer(platform, undefined, file, source, rows, signal);
    return { ...(tokenizer && { kind: tokenizer.kind }), note };
  } catch (error) {
    signal?.throwIfAborted();
    return { note: (error as Error).message };
  }
}
