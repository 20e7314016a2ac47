/** A fact in a long text: for how long does what was planted make its word likelier when the text asks for it? */

import type { Model } from "../index.ts";
import { fillerOf } from "./filler.ts";

/** What may be true. All are words that stories have, and none is likelier than another because of the question. */
const WORDS = ["red", "blue", "green", "yellow", "black", "white", "brown", "pink"];
export const NEEDLES = WORDS.length;
const fact = (word: string): string =>
  `Tom had a special hat. The special hat was ${word}. Tom loved his ${word} hat.\n\n`;
const QUESTION = "Tom had a special hat. The special hat was";
const SEED = 1000;

export interface Needle {
  /** Tokens between the fact and the question. */
  distance: number;
  /** log p of the planted word, less the mean of that in the texts with other words: nats, the mean of all words and its standard error. */
  gain: number;
  error: number;
  /** How many planted words are likelier than all others, after the means of all texts were taken off. */
  right: number;
}

/** 0, then 10, 30, 100, ... to `far`. */
export function distancesTo(far: number): number[] {
  const distances = [0];
  for (let decade = 10; decade <= far; decade *= 10) distances.push(...[decade, 3 * decade].filter((n) => n <= far));
  return distances;
}

export async function needlesAlong(
  model: Model,
  far: number,
  signal: AbortSignal,
  onProgress: (progress: { loaded: number; total: number }) => void,
): Promise<Needle[]> {
  const { tokenizer } = model;
  const without = [...WORDS, "hat", "Tom"];
  const filler = await fillerOf(model, far, SEED, { without, signal });
  const sessions = WORDS.map(() => model.session());
  try {
    await Promise.all(
      sessions.map((session, i) =>
        session.feed(`Once upon a time, there was a boy named Tom. ${fact(WORDS[i])}`, { signal }),
      ),
    );
    const needles: Needle[] = [];
    let at = 0;
    for (const distance of distancesTo(far)) {
      const tokens = filler.subarray(at, distance);
      if (tokens.length > 0) await Promise.all(sessions.map((session) => session.feed(tokens, { signal })));
      at = distance;
      // scores[i][j]: how likely word j is where word i was planted.
      const scores = await Promise.all(
        sessions.map(async (session) => {
          const fork = session.fork();
          try {
            await fork.feed(tokenizer.encode(QUESTION), { signal });
            return (
              await fork.score(
                WORDS.map((word) => tokenizer.encode(` ${word}`)),
                { signal },
              )
            ).map(({ logprob }) => logprob);
          } finally {
            await fork.close();
          }
        }),
      );
      needles.push({ distance, ...gainOf(scores) });
      onProgress({ loaded: distance, total: far });
    }
    return needles;
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
}

/** From the log-probabilities of all words (second index) in all texts (first index). */
export function gainOf(scores: readonly (readonly number[])[]): { gain: number; error: number; right: number } {
  const n = scores.length;
  const others = (i: number) => scores.reduce((sum, row, j) => sum + (j === i ? 0 : row[i]), 0) / (n - 1);
  const gains = scores.map((row, i) => row[i] - others(i));
  const gain = gains.reduce((sum, x) => sum + x, 0) / n;
  const variance = gains.reduce((sum, x) => sum + (x - gain) ** 2, 0) / (n - 1);
  const mean = scores[0].map((_, j) => scores.reduce((sum, row) => sum + row[j], 0) / n);
  const right = scores.filter((row, i) =>
    row.every((score, j) => j === i || score - mean[j] < row[i] - mean[i]),
  ).length;
  return { gain, error: Math.sqrt(variance / n), right };
}
