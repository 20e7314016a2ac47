/**
 * Tokens to the parts that a reader gets: one part per token, with the text that became complete with it, at its place in the whole
 * text. Two things hold a token back: a character whose end has not come, and bytes that a stop string may begin with.
 */

import type { Score } from "../engine/scores.ts";
import { StopFinder } from "./stops.ts";
import { TextStream } from "./stream.ts";

/** One token's worth of a text. With `logprobs`, also how likely the token was. */
export interface Part extends Partial<Score> {
  /** The text that became complete with this token: never half a character, possibly empty. */
  readonly text: string;
  readonly token: number;
  /** Number of the token, from 0. */
  readonly index: number;
  /** Where `text` begins in the whole text, in UTF-16 units, as strings count. */
  readonly offset: number;
  /** Set for tokens of the prompt, with `echo`. */
  readonly prompt?: true;
}

const NONE = new Uint8Array();

interface Held {
  token: number;
  bytes: Uint8Array;
  score?: Score;
  prompt?: true;
}

export class PartStream {
  readonly #bytesOf: (token: number) => Uint8Array;
  readonly #finder: StopFinder | undefined;
  readonly #text = new TextStream();
  /** Waiting for it to be certain that no stop string begins in them; `end`: number of the byte behind them. */
  #doubtful: (Held & { end: number })[] = [];
  /** Waiting for the end of a character. */
  #unfinished: (Held & { text: string })[] = [];
  readonly #ready: Part[] = [];
  #taken = 0;
  #bytes = 0;
  #generated = 0;
  #index = 0;
  #logprob = 0;
  #offset = 0;

  /** `bytesOf`: the bytes of a token; without it, all texts are empty. `stops`: none empty. */
  constructor(bytesOf: ((token: number) => Uint8Array) | undefined, stops: readonly Uint8Array[] = []) {
    this.#bytesOf = bytesOf ?? (() => NONE);
    this.#finder = stops.length > 0 ? new StopFinder(stops) : undefined;
  }

  /** Generated tokens that no stop string can cut off any more. */
  get sure(): number {
    return this.#generated - this.#doubtful.length;
  }

  /** Tokens that are held back. */
  get held(): number {
    return this.#doubtful.length + this.#unfinished.length;
  }

  /** Natural logarithm of the probability of the generated tokens that are or were ready, as far as it is known. */
  get logprob(): number {
    return this.#logprob;
  }

  /** Whether there is a part to take. */
  get waiting(): boolean {
    return this.#taken < this.#ready.length;
  }

  /** The next part. */
  take(): Part | undefined {
    const part = this.#ready[this.#taken];
    if (part) this.#taken++;
    if (this.#taken === this.#ready.length) this.#taken = this.#ready.length = 0;
    return part;
  }

  /** A token of the prompt, in which no stop string is looked for. */
  echo(token: number, score?: Score): void {
    this.#set({ token, bytes: this.#bytesOf(token), score, prompt: true });
  }

  /**
   * A generated token. When it completes a stop string, nothing more may come: `stop` is its number, `keep` says how many of the generated
   * tokens are before it as a whole, and `rest` is what of the next token is.
   */
  push(token: number, score?: Score): { stop: number; keep: number; rest: Uint8Array } | undefined {
    const bytes = this.#bytesOf(token);
    this.#generated++;
    if (!this.#finder) {
      this.#set({ token, bytes, score });
      return undefined;
    }
    this.#bytes += bytes.length;
    this.#doubtful.push({ token, bytes, score, end: this.#bytes });
    const found = this.#finder.push(bytes);
    const certain = found?.at ?? this.#finder.certain;
    let n = 0;
    while (n < this.#doubtful.length && this.#doubtful[n]!.end <= certain) this.#set(this.#doubtful[n++]!);
    this.#doubtful.splice(0, n);
    if (!found) return undefined;
    const keep = this.#generated - this.#doubtful.length;
    const [cut] = this.#doubtful.splice(0);
    return {
      stop: found.stop,
      keep,
      rest: cut ? cut.bytes.subarray(0, found.at - (cut.end - cut.bytes.length)) : NONE,
    };
  }

  /** The text is over, but for some more tokens that are not searched. Nothing is held back any more. */
  end(more: Iterable<number> = []): void {
    for (const held of this.#doubtful.splice(0)) this.#set(held);
    for (const token of more) this.#set({ token, bytes: this.#bytesOf(token) });
    const last = this.#unfinished.at(-1);
    if (last) last.text += this.#text.flush();
    this.#release();
  }

  /** Forgets what was not taken. */
  drop(): void {
    this.#doubtful.length = this.#unfinished.length = this.#ready.length = this.#taken = 0;
  }

  #set(held: Held): void {
    this.#unfinished.push({ ...held, text: this.#text.push(held.bytes) });
    if (!this.#text.unfinished) this.#release();
  }

  #release(): void {
    for (const { text, token, score, prompt } of this.#unfinished.splice(0)) {
      const part = { text, token, index: this.#index++, offset: this.#offset };
      this.#ready.push({ ...part, ...score, ...(prompt && { prompt }) });
      this.#offset += text.length;
      if (score && !prompt) this.#logprob += score.logprob;
    }
  }
}
