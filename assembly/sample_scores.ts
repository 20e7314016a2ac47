// What is done to the logits before anything is chosen: forbidden tokens, added numbers, penalties. Scores are filled up to whole vectors.

import { SAMPLER_FREQUENCY, SAMPLER_PRESENCE, SAMPLER_REPETITION } from "./ops";
import { whole } from "./sample_work";

/** The bits that decide about four lanes. */
const BITS = memory.data<i32>([1, 2, 4, 8]);

/** Only tokens whose bit is set keep their scores. */
export function forbid(scores: usize, vocab: i32, mask: usize): void {
  const none = f32x4.splat(-Infinity);
  const bits = v128.load(BITS);
  const end = scores + whole(vocab);
  for (let at = scores; at < end; at += 128, mask += 4) {
    let word = load<u32>(mask);
    if (word == 0xffffffff) continue;
    const last = min<usize>(at + 128, end);
    for (let i = at; i < last; i += 16, word >>= 4) {
      const is = i32x4.eq(v128.and(i32x4.splat(word), bits), bits);
      v128.store(i, v128.bitselect(v128.load(i), none, is));
    }
  }
}

/** Adds a number to each score. */
export function add(scores: usize, vocab: i32, bias: usize): void {
  const end = whole(vocab);
  for (let i: usize = 0; i < end; i += 16) {
    v128.store(scores + i, f32x4.add(v128.load(scores + i), v128.load(bias + i)));
  }
}

/** Takes from the scores of tokens that came before. */
export function penalize(scores: usize, vocab: i32, area: usize, counts: usize): void {
  const repetition = load<f32>(area, SAMPLER_REPETITION);
  const presence = load<f32>(area, SAMPLER_PRESENCE);
  const frequency = load<f32>(area, SAMPLER_FREQUENCY);
  const end = whole(vocab);
  for (let i: usize = 0; i < end; i += 16) {
    if (!v128.any_true(v128.load(counts + i))) continue;
    for (let j = i; j < i + 16; j += 4) {
      const n = load<f32>(counts + j);
      if (n == 0) continue;
      let s = load<f32>(scores + j);
      s = s > 0 ? s / repetition : s * repetition;
      store<f32>(scores + j, s - presence - n * frequency);
    }
  }
}
