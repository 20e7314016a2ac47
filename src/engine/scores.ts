/**
 * How likely tokens were, as the engine tells the host: for each token two words and two more for each alternative, as the kernel
 * `logprobs` writes them. Words are integers or the bits of f32.
 */

/** One of the likeliest tokens at a place, with the natural logarithm of its probability. */
export interface Alternative {
  readonly token: number;
  readonly logprob: number;
}

/** How likely a token was, by the model's own logits: before temperature, penalties and whatever else chooses. */
export interface Score {
  /** Natural logarithm of the token's probability. */
  readonly logprob: number;
  /** How many tokens were likelier. */
  readonly rank: number;
  /** The likeliest tokens, as many as were asked for, the likeliest first. */
  readonly top: readonly Alternative[];
}

/** Most alternatives of a token. */
export const MOST_ALTERNATIVES = 20;

/** Words of one token's score, with so many alternatives. */
export const scoreWords = (top: number): number => 2 + top * 2;

/** The scores in `words`, each with `top` alternatives. */
export function* readScores(words: Uint32Array, top: number): Generator<Score> {
  const numbers = new Float32Array(words.buffer, words.byteOffset, words.length);
  const per = scoreWords(top);
  for (let at = 0; at < words.length; at += per) {
    const alternatives = Array.from({ length: top }, (_, i) => ({
      token: words[at + 2 + i * 2]!,
      logprob: numbers[at + 3 + i * 2]!,
    }));
    yield { logprob: numbers[at]!, rank: words[at + 1]!, top: alternatives };
  }
}
