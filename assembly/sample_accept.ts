// What a sampler learns from a token, whether it was generated or is part of a prompt that counts.

import {
  SAMPLER_DECAY,
  SAMPLER_DRAWN,
  SAMPLER_ETA,
  SAMPLER_FLAGS,
  SAMPLER_HISTORY,
  SAMPLER_MU,
  SAMPLER_PENALTIES,
  SAMPLER_SEEN,
  SAMPLER_SURPRISE,
  SAMPLER_TAU,
} from "./ops";
import { sampler_counts, sampler_history } from "./sample_area";

/**
 * Records that a token came: with penalties on, all counts fade and its own goes up by one; it joins the history; mirostat, if it
 * chose it, hears how surprising it was.
 */
export function accept(area: usize, vocab: i32, token: i32): void {
  if (load<u32>(area, SAMPLER_FLAGS) & SAMPLER_PENALTIES) count(area + sampler_counts(vocab), vocab, load<f32>(area, SAMPLER_DECAY), token);

  const seen = load<u32>(area, SAMPLER_SEEN);
  store<i32>(area + sampler_history(vocab) + (<usize>(seen & (SAMPLER_HISTORY - 1)) << 2), token);
  store<u32>(area, seen + 1, SAMPLER_SEEN);

  if (load<u32>(area, SAMPLER_DRAWN) == <u32>token + 1) {
    const error = load<f32>(area, SAMPLER_SURPRISE) - load<f32>(area, SAMPLER_TAU);
    store<f32>(area, load<f32>(area, SAMPLER_MU) - load<f32>(area, SAMPLER_ETA) * error, SAMPLER_MU);
  }
  store<u32>(area, 0, SAMPLER_DRAWN);
}

function count(counts: usize, vocab: i32, decay: f32, token: i32): void {
  if (decay != 1) {
    const d = f32x4.splat(decay);
    const end = counts + (<usize>vocab << 2);
    let i = counts;
    for (; i + 16 <= end; i += 16) v128.store(i, f32x4.mul(v128.load(i), d));
    for (; i < end; i += 4) store<f32>(i, load<f32>(i) * decay);
  }
  const at = counts + (<usize>token << 2);
  store<f32>(at, load<f32>(at) + 1);
}
