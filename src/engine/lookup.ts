/**
 * Guesses how a text goes on from what it said before: after the last few tokens, that which followed them when they came last. It
 * costs nothing and is right where texts repeat themselves, such as code, quotations, lists and answers about a prompt.
 *
 * Checking a guess does cost something. How often guesses would have been right of late is known without checking any, so as many are made
 * as have paid, perhaps none.
 */

/** Tokens that are remembered: the last ones, between this many and twice as many. */
const MEMORY = 1 << 16;

/** What one more row in a step takes, by what the first one takes: about what is measured where weights come from memory. */
const ROW = 0.35;
/** How much of the share of right guesses is that of the last one. */
const NEWS = 1 / 8;

export class Lookup {
  /** How many tokens must be the same. */
  readonly #length: number;
  #text: number[] = [];
  /** Behind which place the last `#length` tokens came, by these tokens. */
  #places = new Map<string, number>();
  /** Where the last tokens came before. */
  #found: number | undefined;
  /** The share of guesses that were or would have been right, of late. */
  #right = 0.5;

  constructor(length: number) {
    this.#length = length;
  }

  push(token: number): void {
    if (this.#found !== undefined) this.#right += ((this.#text[this.#found] === token ? 1 : 0) - this.#right) * NEWS;
    if (this.#text.length >= MEMORY * 2) this.#forget();
    this.#text.push(token);
    const end = this.#text.length;
    if (end < this.#length) return;
    const key = this.#text.slice(end - this.#length).join();
    this.#found = this.#places.get(key);
    this.#places.set(key, end);
  }

  /** The next tokens, at most so many, as a guess. What repeats itself goes on to do so. */
  guess(most: number): number[] {
    const from = this.#found;
    if (from === undefined) return [];
    const period = this.#text.length - from;
    return Array.from({ length: worth(most, this.#right) }, (_, i) => this.#text[from + (i % period)]!);
  }

  #forget(): void {
    const rest = this.#text.slice(-MEMORY);
    this.#text = [];
    this.#places = new Map();
    this.#found = undefined;
    for (const token of rest) this.push(token);
  }
}

/** How many guesses, at most `most`, give the most tokens for what they take, if each is right with this probability. */
function worth(most: number, right: number): number {
  let [count, best] = [0, 1];
  let tokens = 1;
  for (let n = 1; n <= most; n++) {
    tokens += right ** n;
    const gain = tokens / (1 + ROW * n);
    if (gain > best) [count, best] = [n, gain];
  }
  return count;
}
