/**
 * What the generations of an engine may write: the tree of the vocabulary, which is made once, and the programs in use. What is found out
 * about a program's masks is remembered with it, so a program that comes again is the one that is here already.
 */

import { RwkvError } from "../errors.ts";
import { Matcher } from "../grammar/matcher.ts";
import type { Program } from "../grammar/program.ts";
import { type FlatTokens, TokenTrie } from "../grammar/trie.ts";

/** A program, and the host's number for it. */
export interface Constraint {
  readonly id: number;
  readonly program: Program;
}

/** Programs that are remembered. */
const MOST = 8;

export class Constraints {
  #trie: TokenTrie | undefined;
  readonly #programs = new Map<number, Program>();

  /** The bytes of all tokens, before the first constraint. */
  vocabulary(tokens: FlatTokens): void {
    this.#trie = new TokenTrie(tokens);
  }

  /** What follows a text from its start. `ends`: tokens that end it. Throws `RwkvError` "input" if the vocabulary cannot write any. */
  matcher({ id, program }: Constraint, ends: readonly number[]): Matcher {
    if (!this.#trie) throw new RwkvError("engine", "The engine does not know the vocabulary.");
    const known = this.#programs.get(id) ?? program;
    this.#programs.delete(id);
    this.#programs.set(id, known);
    for (const oldest of this.#programs.keys()) {
      if (this.#programs.size <= MOST) break;
      this.#programs.delete(oldest);
    }
    return new Matcher(known, this.#trie, ends);
  }
}
