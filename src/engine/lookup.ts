/**
 * Guesses how a text goes on from what it said before: after the last few tokens, that which followed them when they came last. It
 * costs nothing and is right where texts repeat themselves, such as code, quotations, lists and answers about a prompt.
 */

/** Tokens that are remembered: the last ones, between this many and twice as many. */
const MEMORY = 1 << 16;

export class Lookup {
  /** How many tokens must be the same. */
  readonly #length: number;
  #text: number[] = [];
  /** Behind which place the last `#length` tokens came, by these tokens. */
  #places = new Map<string, number>();
  /** Where the last tokens came before. */
  #found: number | undefined;

  constructor(length: number) {
    this.#length = length;
  }

  push(token: number): void {
    if (this.#text.length >= MEMORY * 2) this.#forget();
    this.#text.push(token);
    const end = this.#text.length;
    if (end < this.#length) return;
    const key = this.#text.slice(end - this.#length).join();
    this.#found = this.#places.get(key);
    this.#places.set(key, end);
  }

  /** The next `count` tokens, as a guess; none if the last ones are new. What repeats itself goes on to do so. */
  guess(count: number): number[] {
    const from = this.#found;
    if (from === undefined) return [];
    const period = this.#text.length - from;
    return Array.from({ length: count }, (_, i) => this.#text[from + (i % period)]!);
  }

  #forget(): void {
    const rest = this.#text.slice(-MEMORY);
    this.#text = [];
    this.#places = new Map();
    for (const token of rest) this.push(token);
  }
}
