/**
 * How one generation draws its tokens, as the host tells the engine; and the sampler area (`assembly/sample_area.ts`) that the
 * engine makes of it.
 */

import {
  SAMPLER_BIAS,
  SAMPLER_BYTES,
  SAMPLER_DECAY,
  SAMPLER_DRY,
  SAMPLER_DRY_ALLOWED,
  SAMPLER_DRY_BASE,
  SAMPLER_DRY_MULTIPLIER,
  SAMPLER_DRY_RANGE,
  SAMPLER_DYNAMIC_EXPONENT,
  SAMPLER_DYNAMIC_RANGE,
  SAMPLER_ETA,
  SAMPLER_FLAGS,
  SAMPLER_FREQUENCY,
  SAMPLER_HISTORY,
  SAMPLER_MASK,
  SAMPLER_MIN_P,
  SAMPLER_MU,
  SAMPLER_PENALTIES,
  SAMPLER_PRESENCE,
  SAMPLER_REPETITION,
  SAMPLER_SEED,
  SAMPLER_TAU,
  SAMPLER_TEMPERATURE,
  SAMPLER_TOP_K,
  SAMPLER_TOP_N_SIGMA,
  SAMPLER_TOP_P,
  SAMPLER_TYPICAL_P,
  SAMPLER_XTC_PROBABILITY,
  SAMPLER_XTC_THRESHOLD,
} from "../../assembly/ops.ts";
import type { Kernels } from "./kernels.ts";

/** What `samplingOf` (src/sampling.ts) makes of the options, all of it checked. Plain data. */
export interface Sampling {
  temperature: number;
  /** 1 is off, as for `typicalP`; 0 is off for the three others. */
  topP: number;
  topK: number;
  minP: number;
  typicalP: number;
  topNSigma: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  penaltyDecay: number;
  /** The tokens of the prompt are to be accepted as well, before the first draw. */
  penalizePrompt: boolean;
  dry?: {
    multiplier: number;
    base: number;
    allowedLength: number;
    /** Bit t of word t / 32: token t ends what may count as a repetition. */
    breakers: Uint32Array<ArrayBuffer>;
    range: number;
  };
  xtc?: { probability: number; threshold: number };
  mirostat?: { tau: number; eta: number };
  dynamicTemperature?: { range: number; exponent: number };
  /** What is added to the logits of some tokens; -Infinity bans. */
  bias?: { tokens: Uint32Array<ArrayBuffer>; values: Float32Array<ArrayBuffer> };
  /** 64 bits, the low half first. */
  seed: readonly [number, number];
}

/** How far DRY can look back. */
export const DRY_RANGE = SAMPLER_HISTORY;

/** Options above 0 stay so in f32. */
const positive = (x: number) => Math.max(x, 2 ** -126);

/** Makes the `kernels.sampler_bytes(vocab)` bytes at `area` the sampler of a new generation. */
export function writeSampling(
  kernels: Kernels,
  memory: WebAssembly.Memory,
  area: number,
  vocab: number,
  s: Sampling,
): void {
  const { buffer } = memory;
  new Uint8Array(buffer, area, kernels.sampler_bytes(vocab)).fill(0);
  const f32 = new Float32Array(buffer, area, SAMPLER_BYTES / 4);
  const u32 = new Uint32Array(buffer, area, SAMPLER_BYTES / 4);
  let flags = 0;
  f32[SAMPLER_TEMPERATURE / 4] = s.temperature;
  f32[SAMPLER_TOP_P / 4] = s.topP;
  u32[SAMPLER_TOP_K / 4] = s.topK;
  f32[SAMPLER_MIN_P / 4] = s.minP > 0 ? positive(s.minP) : 0;
  f32[SAMPLER_TYPICAL_P / 4] = s.typicalP < 1 ? positive(s.typicalP) : 0;
  f32[SAMPLER_TOP_N_SIGMA / 4] = s.topNSigma > 0 ? positive(s.topNSigma) : 0;
  u32.set(s.seed, SAMPLER_SEED / 4);
  if (s.repetitionPenalty !== 1 || s.presencePenalty !== 0 || s.frequencyPenalty !== 0) {
    flags |= SAMPLER_PENALTIES;
    f32[SAMPLER_REPETITION / 4] = s.repetitionPenalty;
    f32[SAMPLER_PRESENCE / 4] = s.presencePenalty;
    f32[SAMPLER_FREQUENCY / 4] = s.frequencyPenalty;
    f32[SAMPLER_DECAY / 4] = s.penaltyDecay;
  }
  if (s.xtc) {
    f32[SAMPLER_XTC_PROBABILITY / 4] = s.xtc.probability;
    f32[SAMPLER_XTC_THRESHOLD / 4] = s.xtc.threshold;
  }
  if (s.mirostat) {
    f32[SAMPLER_TAU / 4] = positive(s.mirostat.tau);
    f32[SAMPLER_ETA / 4] = s.mirostat.eta;
    f32[SAMPLER_MU / 4] = 2 * s.mirostat.tau;
  }
  if (s.dynamicTemperature) {
    f32[SAMPLER_DYNAMIC_RANGE / 4] = s.dynamicTemperature.range;
    f32[SAMPLER_DYNAMIC_EXPONENT / 4] = s.dynamicTemperature.exponent;
  }
  if (s.dry) {
    flags |= SAMPLER_DRY;
    f32[SAMPLER_DRY_MULTIPLIER / 4] = s.dry.multiplier;
    f32[SAMPLER_DRY_BASE / 4] = s.dry.base;
    u32[SAMPLER_DRY_ALLOWED / 4] = s.dry.allowedLength;
    u32[SAMPLER_DRY_RANGE / 4] = s.dry.range;
    new Uint32Array(buffer, area + kernels.sampler_breakers(vocab), s.dry.breakers.length).set(s.dry.breakers);
  }
  if (s.bias) {
    flags |= SAMPLER_BIAS;
    const bias = new Float32Array(buffer, area + kernels.sampler_bias(vocab), vocab);
    const { tokens, values } = s.bias;
    for (let i = 0; i < tokens.length; i++) bias[tokens[i]!] = values[i]!;
  }
  u32[SAMPLER_FLAGS / 4] = flags;
}

/**
 * The mask of a generation with a grammar, to be filled before each draw: bit t of word t / 32 allows token t. Asking for it turns it
 * on. The view is good until the memory grows.
 */
export function samplerMask(kernels: Kernels, memory: WebAssembly.Memory, area: number, vocab: number): Uint32Array {
  new Uint32Array(memory.buffer, area + SAMPLER_FLAGS, 1)[0]! |= SAMPLER_MASK;
  return new Uint32Array(memory.buffer, area + kernels.sampler_mask(vocab), Math.ceil(vocab / 32));
}
