/**
 * rwkv-wasm, as it is for Node, Deno and Bun. The build makes the entries for other kinds of runtimes from this file too, each with
 * another file of platform/ in the place of node.ts.
 */

import type { ConvertOptions } from "./api/convert.ts";
import type { InspectOptions, ModelReport, TunedReport } from "./api/inspect.ts";
import { type LoadOptions, loadModel } from "./api/load.ts";
import type { Model } from "./api/model.ts";
import type { ModelSource } from "./api/source.ts";
import type { DownloadCache } from "./bytes/cache.ts";
import { RwkvError } from "./errors.ts";
import { platform } from "./platform/node.ts";
import type { Sink } from "./weights/sink.ts";

/** Loads a model. Throws `RwkvError`: "input", "weights", "unsupported", "memory", "network", "engine". */
export const load = (source: ModelSource, options?: LoadOptions): Promise<Model> =>
  loadModel(platform, source, options);

/**
 * Writes a model to `sink` as GGUF or safetensors, with its large matrices in another type if wanted. Throws `RwkvError`
 * "input", "weights", "unsupported", "network"; what the sink got is then not a valid file.
 */
export const convert = async (source: ModelSource, sink: Sink, options?: ConvertOptions): Promise<void> =>
  (await import("./api/convert.ts")).convertModel(platform, source, sink, options);

/** Says what a weights file, a LoRA or a tuned state holds, and what running a model would take, without reading its numbers. Throws as `load`. */
export const inspect = async (source: ModelSource, options?: InspectOptions): Promise<ModelReport | TunedReport> =>
  (await import("./api/inspect.ts")).inspectModel(platform, source, options);

/** Downloads that are kept for the next time: what there is, and how to be rid of it. `load(url, { cache: true })` fills it. */
export const cache: DownloadCache = platform.cache;

/** The same in a folder, for `load(url, { cache: folder })`. Throws `RwkvError` "unsupported" where there are no folders. */
export function cacheIn(folder: string): DownloadCache {
  if (!platform.cacheIn) throw new RwkvError("unsupported", "There are no folders here: use `cache`.");
  return platform.cacheIn(folder);
}

export * from "./api/public.ts";
