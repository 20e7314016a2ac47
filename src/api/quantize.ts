/** From a model's file to the same model in another type. */

import type { Platform } from "../engine/platform.ts";
import { RwkvError } from "../errors.ts";
import { QUANTIZE_TYPES, type QuantizeOptions, type QuantizeType, quantizeGguf } from "../model/quantize.ts";
import type { Sink } from "../weights/gguf-write.ts";
import { type ModelSource, sourceOf } from "./load.ts";

export async function quantizeModel(
  platform: Platform,
  from: ModelSource,
  sink: Sink,
  type: QuantizeType,
  options: QuantizeOptions = {},
): Promise<void> {
  if (!QUANTIZE_TYPES.includes(type)) {
    throw new RwkvError("input", `type must be one of ${QUANTIZE_TYPES.join(", ")}, not ${type}.`);
  }
  const source = await sourceOf(platform, from, { signal: options.signal });
  try {
    await quantizeGguf(source, sink, type, await platform.kernels("plain"), options);
  } finally {
    await source.close();
  }
}
