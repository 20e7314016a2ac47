/** What a GGUF file says about an RWKV model, in the shape that all containers share. */
import { RwkvError } from "../errors.ts";
import type { Source, TensorFile } from "../types.ts";
import { fileNameOf, type Siblings, withSiblings } from "./beside.ts";
import { type Gguf, readGguf } from "./gguf.ts";
import type { GgufValue } from "./gguf-values.ts";
import { vocabularyFromGguf } from "./gguf-vocabulary.ts";
import { type FileTensor, nameTensors } from "./names.ts";
import { GGUF_ARCHITECTURES, ggufNaming } from "./names-gguf.ts";

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
  chat_template: ["tokenizer.chat_template", "string"],
};

/** More parts than any model was split into. */
const MOST_PARTS = 1024;

/** What a GGUF file says beyond what all containers share. */
export interface GgufFile extends TensorFile {
  readonly container: "gguf";
  /** As in the file; of a split model, as in its first part. */
  readonly metadata: Gguf["metadata"];
}

/**
 * Opens a source that holds GGUF, with the files beside it if it is a part of a split model.
 *
 * Errors: those of `readGguf`; `unsupported` for another architecture than RWKV's, and for a part whose neighbours cannot be
 * opened; `weights` when names, shapes, metadata or parts contradict each other.
 */
export async function openGguf(source: Source, signal?: AbortSignal): Promise<GgufFile> {
  return await withSiblings(source, async (siblings) => {
    const { metadata, tensors: found } = await readParts(source, siblings, signal);
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
    const facts = factsOf(name, architecture.value, metadata);
    const { tensors, unknown } = nameTensors(name, found, ggufNaming(architecture.value));
    const vocabulary = vocabularyFromGguf(name, metadata);
    return {
      name,
      container: "gguf",
      architecture: architecture.value,
      tensors,
      unknown,
      ...(vocabulary && { vocabulary }),
      facts,
      metadata,
      close: () => siblings.close(true),
    };
  });
}

interface Parts {
  /** The first part's; the others have none that matter. */
  readonly metadata: Gguf["metadata"];
  readonly tensors: readonly FileTensor[];
}

/** All parts of a model, whichever of them `source` is. They are named `NAME-00001-of-00003.gguf`. */
async function readParts(source: Source, siblings: Siblings, signal?: AbortSignal): Promise<Parts> {
  const wrong = (problem: string) => new RwkvError("weights", `${source.name}: ${problem}`);
  const own = await readGguf(source, signal);
  const { no, count } = partOf(source.name, own);
  if (count <= 1) return { metadata: own.metadata, tensors: tensorsOf(source, own) };
  const [, name, , total] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(fileNameOf(source)) ?? [];
  if (Number(total) !== count || count > MOST_PARTS)
    throw wrong(
      `it is part ${no + 1} of ${count}, but is not called so; rename it (NAME-00001-of-00003.gguf), or merge the parts (llama-gguf-split --merge)`,
    );
  let metadata = own.metadata;
  const tensors: FileTensor[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    const number = String(i + 1).padStart(5, "0");
    const part = i === no ? source : await siblings.open(`${name}-${number}-of-${total}.gguf`, signal);
    const gguf = i === no ? own : await readGguf(part, signal);
    const claim = partOf(part.name, gguf);
    if (claim.no !== i || claim.count !== count)
      throw wrong(`"${part.name}" says that it is part ${claim.no + 1} of ${claim.count}, not ${i + 1} of ${count}`);
    if (i === 0) metadata = gguf.metadata;
    for (const tensor of tensorsOf(part, gguf)) {
      if (names.has(tensor.name)) throw wrong(`two of its parts hold a tensor "${tensor.name}"`);
      names.add(tensor.name);
      tensors.push(tensor);
    }
  }
  return { metadata, tensors };
}

/** Which part of how many a file is. `no` counts from 0. */
function partOf(file: string, { metadata }: Gguf): { no: number; count: number } {
  const number = (key: string, without: number) => {
    const value = metadata.get(key)?.value ?? without;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
      throw new RwkvError("weights", `${file}: metadata key "${key}" should hold a number; the file is damaged`);
    return value;
  };
  const [no, count] = [number("split.no", 0), number("split.count", 1)];
  if (no >= Math.max(count, 1)) throw new RwkvError("weights", `${file} says that it is part ${no + 1} of ${count}`);
  return { no, count };
}

function tensorsOf(source: Source, { tensors }: Gguf): FileTensor[] {
  return tensors.map(({ name, dtype, dims, offset, bytes }) => ({
    name,
    dtype,
    shape: dims.toReversed(),
    source,
    offset,
    bytes,
  }));
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
