/** Models in safetensors: one file, or several with an index that says which tensor is where. */

import { isRecord, readJson } from "../bytes/json.ts";
import { RwkvError } from "../errors.ts";
import type { Source, TensorFile } from "../types.ts";
import { fileNameOf, type Siblings, withSiblings } from "./beside.ts";
import { type FileTensor, type Naming, nameTensors } from "./names.ts";
import { namingOf } from "./names-hf.ts";
import { readSafetensors } from "./safetensors.ts";

/** Far above what models need. */
const LIMITS = { index: 32 << 20, shards: 1024, config: 1 << 20 };

/** One shard of several. */
const SHARD = /^(.*)-\d{5}-of-\d{5}\.safetensors$/;

/**
 * Opens a source that holds safetensors. If its name says that it is one of several shards, the index beside it is followed.
 * A `config.json` beside a model made for transformers gives facts that its tensors do not. `naming`: what names mean, if that is
 * not to be found out from them.
 *
 * Errors: those of `readSafetensors`; `weights` when index, shards, names or shapes contradict each other; `unsupported` for
 * models that are not RWKV's, are newer, or lie in shards that cannot be opened.
 */
export async function openSafetensors(source: Source, signal?: AbortSignal, naming?: Naming): Promise<TensorFile> {
  return await withSiblings(source, async (siblings) => {
    const shard = SHARD.exec(fileNameOf(source));
    if (!shard) return await fileOf(source, siblings, await readSafetensors(source, signal), signal, naming);
    const index = await siblings.open(`${shard[1]}.safetensors.index.json`, signal);
    return await fileOf(source, siblings, await readShards(index, siblings, signal), signal, naming);
  });
}

/** Opens a source that holds the index of a sharded model (`model.safetensors.index.json`). Errors: as `openSafetensors`. */
export async function openIndex(source: Source, signal?: AbortSignal, naming?: Naming): Promise<TensorFile> {
  return await withSiblings(source, async (siblings) =>
    fileOf(source, siblings, await readShards(source, siblings, signal), signal, naming),
  );
}

/** All tensors of all shards that an index names. */
async function readShards(index: Source, siblings: Siblings, signal?: AbortSignal): Promise<FileTensor[]> {
  const wrong = (problem: string) => new RwkvError("weights", `${index.name}: ${problem}`);
  const json = await readJson(index, LIMITS.index, signal);
  const map = isRecord(json) ? json.weight_map : undefined;
  if (!isRecord(map)) throw wrong("it has no weight_map; it is not the index of a model in safetensors");
  const expected = new Map<string, Set<string>>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || !file.endsWith(".safetensors"))
      throw wrong(`tensor "${tensor}" is said to be in ${JSON.stringify(file)}, which is no safetensors file`);
    const tensors = expected.get(file) ?? new Set();
    expected.set(file, tensors.add(tensor));
  }
  if (expected.size > LIMITS.shards)
    throw new RwkvError("unsupported", `${index.name} names more than ${LIMITS.shards} files`);

  const all = new Map<string, FileTensor>();
  for (const [file, names] of expected) {
    const tensors = await readSafetensors(await siblings.open(file, signal), signal);
    for (const tensor of tensors) {
      names.delete(tensor.name);
      const other = all.get(tensor.name);
      if (other) throw wrong(`"${other.source.name}" and "${tensor.source.name}" both hold tensor "${tensor.name}"`);
      all.set(tensor.name, tensor);
    }
    const [missing] = names;
    if (missing !== undefined) throw wrong(`"${file}" should hold tensor "${missing}", but does not`);
  }
  return [...all.values()];
}

async function fileOf(
  source: Source,
  siblings: Siblings,
  found: readonly FileTensor[],
  signal?: AbortSignal,
  given?: Naming,
): Promise<TensorFile> {
  const { name } = source;
  const { naming, style } = given ? { naming: given, style: "tuned" } : namingOf(found);
  const { tensors, unknown } = nameTensors(name, found, naming);
  const config = style === "tuned" ? NO_CONFIG : await readConfig(siblings, style === "official", signal);
  const close = () => siblings.close(true);
  return { name, container: "safetensors", tensors, unknown, tuned: style === "tuned", ...config, close };
}

/** Keys of config.json by the fact they state. */
const FACTS: Readonly<Record<string, readonly string[]>> = {
  head_size: ["head_dim", "head_size"],
  layer_norm_epsilon: ["norm_eps", "layer_norm_epsilon"],
};

type Stated = Pick<TensorFile, "facts" | "warnings">;
const NO_CONFIG: Stated = { facts: new Map() };

/**
 * What a config.json beside a model made for transformers says. Official checkpoints say all by their tensors, and one beside them may
 * belong to anything: it is not followed, but if it is damaged, so may the rest of the folder be, and that is worth a warning.
 */
async function readConfig(siblings: Siblings, official: boolean, signal?: AbortSignal): Promise<Stated> {
  if (!official) return await followConfig(siblings, signal);
  try {
    const source = await siblings.find("config.json", signal);
    if (source) await readJson(source, LIMITS.config, signal);
    return NO_CONFIG;
  } catch (error) {
    signal?.throwIfAborted();
    const damaged = error instanceof RwkvError && (error.code === "weights" || error.code === "unsupported");
    return damaged
      ? { ...NO_CONFIG, warnings: [`${error.message}. It is ignored, as nothing in it is needed.`] }
      : NO_CONFIG;
  }
}

async function followConfig(siblings: Siblings, signal?: AbortSignal): Promise<Stated> {
  const source = await siblings.find("config.json", signal);
  if (!source) return NO_CONFIG;
  const config = await readJson(source, LIMITS.config, signal);
  if (!isRecord(config)) throw new RwkvError("weights", `${source.name}: it holds no object; the file is damaged`);
  if (!/^rwkv/i.test(String(config.model_type))) {
    const type = JSON.stringify(config.model_type)?.slice(0, 50) ?? "none";
    return { ...NO_CONFIG, warnings: [`${source.name} is ignored: its model_type is ${type}, which is no RWKV.`] };
  }
  const facts = new Map<string, number>();
  for (const [fact, keys] of Object.entries(FACTS)) {
    const key = keys.find((key) => config[key] !== undefined && config[key] !== null);
    if (key === undefined) continue;
    const value = config[key];
    if (typeof value !== "number" || !(value > 0))
      throw new RwkvError("weights", `${source.name}: ${key} is ${JSON.stringify(value)}, not a number above 0`);
    facts.set(fact, value);
  }
  return { facts };
}
