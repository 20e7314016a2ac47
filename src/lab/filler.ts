/** Text that a model writes itself, so that experiments need no files and see what the model takes for ordinary. */

import type { Model } from "../index.ts";

/** Stories that are written at a time: they share the engine's steps. */
const LANES = 8;
/** Tokens of one story at most. */
const STORY = 400;

/** `count` tokens of stories, one after another, the same for the same seed. Sentences that hold a word of `without` are left out. */
export async function fillerOf(
  model: Model,
  count: number,
  seed: number,
  {
    without = [],
    signal,
    onProgress,
  }: { without?: readonly string[]; signal?: AbortSignal; onProgress?: (tokens: number) => void } = {},
): Promise<Uint32Array> {
  const { tokenizer } = model;
  const filler = new Uint32Array(count);
  const prompt = tokenizer.bos === undefined ? [...tokenizer.encode("\n")] : [tokenizer.bos];
  let at = 0;
  for (let next = seed; at < count; next += LANES) {
    const stories = await Promise.all(
      Array.from({ length: LANES }, (_, i) =>
        model.generate(prompt, { maxTokens: STORY, temperature: 1, topP: 0.95, seed: next + i, signal }).text(),
      ),
    );
    for (const story of stories) {
      const sentences = story.split(/(?<=[.!?]["”]?)\s+/).filter((one) => !without.some((word) => one.includes(word)));
      const ids = tokenizer.encode(`${sentences.join(" ").trim()}\n\n`).subarray(0, count - at);
      filler.set(ids, at);
      at += ids.length;
    }
    onProgress?.(at);
  }
  return filler;
}
