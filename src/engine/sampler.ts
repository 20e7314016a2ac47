/** A generation's sampler area (`assembly/sample_area.ts`): the options of a generation, written where `sample` reads them. */

import {
  SAMPLER_BYTES,
  SAMPLER_DECAY,
  SAMPLER_FLAGS,
  SAMPLER_FREQUENCY,
  SAMPLER_PENALTIES,
  SAMPLER_PRESENCE,
  SAMPLER_REPETITION,
  SAMPLER_SEED,
  SAMPLER_TEMPERATURE,
  SAMPLER_TOP_K,
  SAMPLER_TOP_P,
} from "../../assembly/ops.ts";
import type { Kernels } from "./kernels.ts";
import type { Sampling } from "./protocol.ts";

/** Makes the `kernels.sampler_bytes(vocab)` bytes at `area` the sampler of a new generation. */
export function writeSampling(
  kernels: Kernels,
  memory: WebAssembly.Memory,
  area: number,
  vocab: number,
  s: Sampling,
): void {
  new Uint8Array(memory.buffer, area, kernels.sampler_bytes(vocab)).fill(0);
  const f32 = new Float32Array(memory.buffer, area, SAMPLER_BYTES / 4);
  const u32 = new Uint32Array(memory.buffer, area, SAMPLER_BYTES / 4);
  f32[SAMPLER_TEMPERATURE / 4] = s.temperature;
  f32[SAMPLER_TOP_P / 4] = s.topP;
  u32[SAMPLER_TOP_K / 4] = s.topK;
  f32[SAMPLER_REPETITION / 4] = s.repetitionPenalty;
  f32[SAMPLER_PRESENCE / 4] = s.presencePenalty;
  f32[SAMPLER_FREQUENCY / 4] = s.frequencyPenalty;
  f32[SAMPLER_DECAY / 4] = s.penaltyDecay;
  u32.set(s.seed, SAMPLER_SEED / 4);
  u32[SAMPLER_FLAGS / 4] =
    s.repetitionPenalty !== 1 || s.presencePenalty !== 0 || s.frequencyPenalty !== 0 ? SAMPLER_PENALTIES : 0;
}
