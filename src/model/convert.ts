/**
 * Writes a model anew: under other names in another container, with its large matrices in another type, or both. Which tensors
 * are quantised, and how they are rounded, is as in llama.cpp's llama-quantize, so that the outcome is what other programs
 * expect. A model of any size goes through in pieces; docs/formats.md is the user's side.
 */
import { Converter, type KernelModule } from "../engine/converter.ts";
import { Planner } from "../engine/planner.ts";
import { isRecipe, type Recipe } from "../engine/weight-types.ts";
import { RwkvError } from "../errors.ts";
import type { TensorFile, Vocabulary } from "../types.ts";
import { writeGguf } from "../weights/gguf-write.ts";
import { SAFETENSORS_TYPES, type SafetensorsType, writeSafetensors } from "../weights/safetensors-write.ts";
import type { Sink } from "../weights/sink.ts";
import { configOf } from "./config.ts";
import type { LoadProgress } from "./load.ts";
import { type Output, piecesOf, type Way } from "./pieces.ts";
import { planOf } from "./plan.ts";
import { prepare } from "./recipes.ts";
import { Tensors } from "./tensors.ts";
import { type ConvertType, putVocabulary, toGguf } from "./to-gguf.ts";
import { toOfficial } from "./to-official.ts";

/** The containers that are written. */
export const CONTAINERS = ["gguf", "safetensors"] as const;
export type Container = (typeof CONTAINERS)[number];

export interface Conversion {
  readonly container: Container;
  /** What the large matrices become, embedding and head included, all of them or by a recipe; absent: they stay as they are. */
  readonly type?: ConvertType | Recipe;
  /** For GGUF: asked for a vocabulary of so many tokens. `null`: none; `undefined`: that of the file, which is GGUF. */
  readonly vocabulary: (tokens: number) => Promise<Vocabulary | null | undefined>;
  /** Called after each piece: bytes of tensor data that were read, and in all. */
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Writes the model in `file` to `sink`. Closing both is up to the caller. If this throws, what the sink got is not a valid file.
 *
 * Errors: `weights` for an incomplete model, and for numbers that are infinite or NaN, or become so because the type cannot
 * hold them, naming the tensor; `input` for a type that the container does not have; `unsupported` for a model that it cannot
 * hold. What the source and the sink throw passes through.
 */
export async function convert(file: TensorFile, sink: Sink, kernels: KernelModule, how: Conversion): Promise<void> {
  const { container, type, vocabulary, onProgress, signal } = how;
  const config = configOf(file);
  // The plan finds whatever is missing or has another shape than the rest of the model needs.
  const planner = new Planner({ rows: 1, ranks: 1, sessions: 1, limit: Number.POSITIVE_INFINITY });
  await planOf(config, new Tensors(file, planner), planner);

  let [loaded, total] = [0, 0];
  const onRead = (bytes: number) => {
    loaded += bytes;
    onProgress?.({ loaded, total });
  };
  const write = (outputs: readonly Output[]) => {
    const parts = outputs.flatMap((output) => output.parts);
    total += parts.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
    const way: Way = { converter: new Converter(kernels), onRead, signal };
    return (output: Output) => () => dataOf(output, way);
  };
  if (container === "safetensors") {
    if (type && !isFloat(type))
      throw new RwkvError("input", `safetensors files hold ${SAFETENSORS_TYPES.join(", ")}, not ${type}; write GGUF`);
    const used = new Set(planner.loads.map(({ tensor }) => tensor.name));
    const outputs = toOfficial(file, config, used, type);
    const data = write(outputs);
    const entries = outputs.map((output) => ({ ...output, data: data(output) }));
    await writeSafetensors(sink, { format: "pt" }, entries);
  } else {
    const recipe = isRecipe(type) ? prepare(file) : undefined;
    const { metadata, outputs } = toGguf(file, config, isRecipe(type) ? recipe : type);
    const given = await vocabulary(config.vocab);
    if (given !== undefined) putVocabulary(metadata, config, given);
    const data = write(outputs);
    if (recipe) {
      total += recipe.equalizer.bytes;
      await recipe.equalizer.measure(kernels, onRead, signal);
    }
    const entries = outputs.map((output) => ({ ...output, dims: output.shape.toReversed(), data: data(output) }));
    await writeGguf(sink, metadata, entries);
  }
}

const isFloat = (type: ConvertType | Recipe): type is SafetensorsType =>
  (SAFETENSORS_TYPES as readonly string[]).includes(type);

async function* dataOf({ parts, dtype }: Output, way: Way): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield* piecesOf(part, dtype, way);
}
