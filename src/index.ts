/** rwkv-wasm for Node, Deno and Bun. */

import { type LoadOptions, loadModel, type ModelSource } from "./api/load.ts";
import type { Model } from "./api/model.ts";
import { quantizeModel } from "./api/quantize.ts";
import type { QuantizeOptions, QuantizeType } from "./model/quantize.ts";
import { platform } from "./platform/node.ts";
import type { Sink } from "./weights/gguf-write.ts";

/** Loads a model. Throws `RwkvError`: "input", "weights", "unsupported", "memory", "engine". */
export const load = (source: ModelSource, options?: LoadOptions): Promise<Model> =>
  loadModel(platform, source, options);

/**
 * Writes a GGUF model to `sink` with its large matrices as `type`, for smaller files; embeddings and head included, low-rank
 * maps and vectors as they are. Throws `RwkvError` "input", "weights", "unsupported"; what the sink got is then not a valid file.
 */
export const quantize = (source: ModelSource, sink: Sink, type: QuantizeType, options?: QuantizeOptions): Promise<void> =>
  quantizeModel(platform, source, sink, type, options);

export * from "./api/public.ts";
