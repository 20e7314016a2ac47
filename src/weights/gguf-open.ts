/** What a GGUF file says about an RWKV model, in the shape that all containers share. */
import { RwkvError } from "../errors.ts";
import type { Source, TensorFile } from "../types.ts";
import { readGguf } from "./gguf.ts";
import type { GgufValue } from "./gguf-values.ts";
import { vocabularyFromGguf } from "./gguf-vocabulary.ts";
import { GGUF_ARCHITECTURES, namesFromGguf } from "./names.ts";

/** Metadata that the model may need, by canonical key. `ARCH` stands for the architecture. */
const FACTS: Readonly<Record<string, readonly [key: string, type: "number" | "string"]>> = {
  "general.name": ["general.name", "string"],
  "general.license": ["general.license", "string"],
  block_count: ["ARCH.block_count", "number"],
  context_length: ["ARCH.context_length", "number"],
  embedding_length: ["ARCH.embedding_length", "number"],
  feed_forward_length: ["ARCH.feed_forward_length", "number"],
  head_size: ["ARCH.wkv.head_size", "number"],
  layer_norm_epsilon: ["ARCH.attention.layer_norm_epsilon", "number"],
  rescale_every_n_layers: ["ARCH.rescale_every_n_layers", "number"],
  tokenizer: ["tokenizer.ggml.model", "string"],
};

/**
 * Opens a source that holds GGUF.
 *
 * Errors: those of `readGguf`; `unsupported` for another architecture than RWKV's and for one part of a split file;
 * `weights` when names, shapes or metadata contradict each other.
 */
export async function openGguf(source: Source, signal?: AbortSignal): Promise<TensorFile> {
  const { metadata, tensors: found } = await readGguf(source, signal);
  const { name } = source;

  const architecture = metadata.get("general.architecture");
  if (architecture?.type !== "string")
    throw new RwkvError(
      "weights",
      `${name}: the GGUF file does not say which architecture it holds (general.architecture)`,
    );
  if (!GGUF_ARCHITECTURES.includes(architecture.value))
    throw new RwkvError(
      "unsupported",
      `${name} holds a model of the architecture "${architecture.value}"; this package runs RWKV (${GGUF_ARCHITECTURES.join(", ")})`,
    );
  const parts = metadata.get("split.count");
  if (parts && Number(parts.value) > 1)
    throw new RwkvError(
      "unsupported",
      `${name} is one of ${parts.value} parts of a split GGUF file; merge them first (llama-gguf-split --merge)`,
    );

  const { tensors, unknown } = namesFromGguf(source, architecture.value, found);
  const vocabulary = vocabularyFromGguf(name, metadata);
  return {
    name,
    container: "gguf",
    architecture: architecture.value,
    tensors,
    unknown,
    ...(vocabulary && { vocabulary }),
    facts: factsOf(name, architecture.value, metadata),
    close: () => source.close(),
  };
}

function factsOf(
  file: string,
  architecture: string,
  metadata: ReadonlyMap<string, GgufValue>,
): Map<string, number | string> {
  const facts = new Map<string, number | string>();
  for (const [fact, [pattern, type]] of Object.entries(FACTS)) {
    const key = pattern.replace("ARCH", architecture);
    const value = metadata.get(key)?.value;
    if (value === undefined) continue;
    const plain = typeof value === "bigint" ? Number(value) : value;
    if ((typeof plain !== "number" && typeof plain !== "string") || typeof plain !== type || Number.isNaN(plain))
      throw new RwkvError("weights", `${file}: metadata key "${key}" should hold a ${type}; the file is damaged`);
    facts.set(fact, plain);
  }
  return facts;
}
