/** rwkv-wasm for browsers. */

import { type LoadOptions, loadModel, type ModelSource } from "./api/load.ts";
import type { Model } from "./api/model.ts";
import { platform } from "./platform/web.ts";

/** Loads a model. Throws `RwkvError`: "input", "weights", "unsupported", "memory", "network", "engine". */
export const load = (source: ModelSource, options?: LoadOptions): Promise<Model> =>
  loadModel(platform, source, options);

export * from "./api/public.ts";
