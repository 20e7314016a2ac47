/**
 * What a model thinks of a text: how likely continuations are, how surprising a text is, and as which vector it is represented. All of it
 * is computed where the logits are; only the outcomes cross to the host.
 */

import { shown } from "../checks.ts";
import { readScores } from "../engine/scores.ts";
import { RwkvError } from "../errors.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Shared } from "./session.ts";

/** Continuations that are scored at the same time. */
const LANES = 8;

/** How likely a continuation is. Logarithms are natural. */
export interface ContinuationScore {
  /** Of the whole continuation: the sum over its tokens. */
  readonly logprob: number;
  /**
   * Divided by the number of tokens, and by the number of bytes: for comparing continuations of different lengths. A model without a
   * vocabulary knows of no bytes.
   */
  readonly perToken: number;
  readonly perByte?: number;
  /** Whether each of its tokens is the likeliest one at its place, so that greedy generation would write it. */
  readonly greedy: boolean;
  /** Its tokens, and the logarithm of the probability of each. */
  readonly tokens: readonly number[];
  readonly logprobs: readonly number[];
}

/** How surprising a text is. */
export interface Perplexity {
  /** e to the mean surprise of a token. */
  readonly perplexity: number;
  /** Natural logarithm of the text's probability. */
  readonly logprob: number;
  /** Tokens that count: all but the first one, which nothing is before. */
  readonly tokens: number;
  /** Surprise in bits by bytes of text, which does not depend on the vocabulary; absent for a model without one. */
  readonly bitsPerByte?: number;
}

export interface MeasureOptions {
  signal?: AbortSignal;
}

export interface PerplexityOptions extends MeasureOptions {
  /** Called as a long text is read, with the number of tokens so far. */
  onProgress?: (tokens: number) => void;
}

export interface EmbedOptions extends MeasureOptions {
  /**
   * "mean" (the default): the last layer's normed output, its mean over all tokens. "last": that of the last token. "state": the
   * state after the text, all numbers of it.
   */
  pooling?: "mean" | "last" | "state";
}

/** Scores tokens from where a session stands, or from the beginning. Token `first` is the first one with a score. */
export async function score(
  { engine, aside }: Shared,
  session: number | undefined,
  tokens: Uint32Array,
  { signal, onProgress }: PerplexityOptions,
): Promise<{ first: number; logprobs: number[]; greedy: boolean }> {
  const scored = { first: tokens.length, logprobs: [] as number[], greedy: true };
  const place = await aside.wait(signal);
  try {
    const listener = {
      scores: (first: number, words: Uint32Array) => {
        scored.first = Math.min(scored.first, first);
        for (const { logprob, rank } of readScores(words, 0)) {
          scored.logprobs.push(logprob);
          scored.greedy &&= rank === 0;
        }
        onProgress?.(scored.first + scored.logprobs.length);
      },
    };
    await engine.request({ kind: "score", session, tokens, top: 0 }, listener, signal);
  } finally {
    aside.give(place);
  }
  return scored;
}

/** Continuations, each from where a session stands. */
export async function scoreAll(
  shared: Shared,
  session: number,
  continuations: readonly Uint32Array[],
  options: MeasureOptions,
): Promise<ContinuationScore[]> {
  const empty = continuations.findIndex((tokens) => tokens.length === 0);
  if (empty >= 0) throw new RwkvError("input", `Continuation ${empty} is empty: there is nothing to score.`);
  const scores: ContinuationScore[] = [];
  // Several at a time share the steps of the engine.
  const queue = continuations.entries();
  const lane = async () => {
    for (const [i, tokens] of queue) scores[i] = await scoreOne(shared, session, tokens, i, options);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return scores;
}

async function scoreOne(
  shared: Shared,
  session: number,
  tokens: Uint32Array,
  i: number,
  options: MeasureOptions,
): Promise<ContinuationScore> {
  const { first, logprobs, greedy } = await score(shared, session, tokens, options);
  if (logprobs.length === 0) {
    throw new RwkvError("input", `Continuation ${i} has one token, and nothing is before it: the session is new.`);
  }
  const counted = tokens.subarray(first);
  const logprob = sum(logprobs);
  return {
    logprob,
    perToken: logprob / logprobs.length,
    ...(shared.text.tokenizer && { perByte: logprob / bytesOf(shared.text.tokenizer, counted) }),
    greedy,
    tokens: [...counted],
    logprobs,
  };
}

export async function perplexity(shared: Shared, tokens: Uint32Array, options: PerplexityOptions): Promise<Perplexity> {
  const { first, logprobs } = await score(shared, undefined, tokens, options);
  if (logprobs.length === 0) {
    throw new RwkvError("input", "A perplexity needs a text of at least two tokens, the start token included.");
  }
  const logprob = sum(logprobs);
  const { tokenizer } = shared.text;
  return {
    perplexity: Math.exp(-logprob / logprobs.length),
    logprob,
    tokens: logprobs.length,
    ...(tokenizer && { bitsPerByte: -logprob / Math.LN2 / bytesOf(tokenizer, tokens.subarray(first)) }),
  };
}

export async function embed(
  shared: Shared,
  tokens: Uint32Array,
  { pooling = "mean", signal }: EmbedOptions,
): Promise<Float32Array<ArrayBuffer>> {
  if (pooling !== "mean" && pooling !== "last" && pooling !== "state") {
    throw new RwkvError("input", `pooling must be "mean", "last" or "state", not ${shown(pooling)}.`);
  }
  if (tokens.length === 0) throw new RwkvError("input", "There is nothing to embed: the text has no tokens.");
  const { engine, aside, spec } = shared;
  const place = await aside.wait(signal);
  try {
    const { hidden, state } = await engine.request({ kind: "hidden", tokens, pooling }, {}, signal);
    // The last part of a state is the last token's output: that is no memory.
    return hidden ?? state!.slice(0, state!.length - spec.width);
  } finally {
    aside.give(place);
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** Bytes of text. */
const bytesOf = (tokenizer: Tokenizer, tokens: Uint32Array): number =>
  tokens.reduce((bytes, token) => bytes + tokenizer.bytes(token).length, 0);
