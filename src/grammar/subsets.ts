/** Sets of states, each with a number: the states of a deterministic automaton. */
import { excess, LIMITS } from "./limits.ts";

/** Work that is left, in members of sets; several automata may share it. */
export interface Budget {
  left: number;
}

export class Subsets {
  /** Ascending members of each set. */
  readonly sets: Int32Array[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #what: string;
  readonly #limit: number;
  readonly #budget: Budget;

  /** `what` becomes too large, says the error, if there are more than `limit` sets, or the budget is used up. */
  constructor(what: string, limit: number, budget: Budget = { left: LIMITS.subsetWork }) {
    this.#what = what;
    this.#limit = limit;
    this.#budget = budget;
  }

  /** The number of the set of these states, which is new if it was not asked for before. */
  number(members: Iterable<number>): number {
    const set = Int32Array.from(new Set(members)).sort();
    this.#budget.left -= set.length + 1;
    if (this.#budget.left < 0)
      throw excess(`${this.#what} becomes too large: too many combinations of its parts`, LIMITS.subsetWork);
    const key = set.length === 1 ? String(set[0]) : set.join();
    let number = this.#numbers.get(key);
    if (number === undefined) {
      if (this.sets.length >= this.#limit)
        throw excess(`${this.#what} becomes too large: it has too many states`, this.#limit);
      number = this.sets.push(set) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}
