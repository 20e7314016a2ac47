/** A rule's graph as a deterministic automaton, in which at most one edge leaves a state for each byte and for each rule. */
import { type Graph, NOTHING, RULE } from "./graph.ts";
import { LIMITS } from "./limits.ts";
import { type Budget, Subsets } from "./subsets.ts";

export const NONE = -1;

/** State 0 is the start; no edge leads there. */
export interface Dfa {
  readonly name: string;
  /** state * classes + class of bytes: the next state, or NONE. */
  readonly next: Int32Array;
  readonly final: Uint8Array;
  /** Of each state: rule, state after it, rule, state after it, ... */
  readonly calls: readonly (readonly number[])[];
}

/** Which bytes no edge of a graph tells apart: the number of classes, the class of each byte, the first byte of each class. */
export interface Bytes {
  readonly classes: number;
  readonly classOf: Uint8Array;
  readonly first: Uint8Array;
}

export function bytesOf(graph: Graph): Bytes {
  const starts = new Uint8Array(257);
  starts[0] = 1;
  for (const label of graph.label) {
    if (label === NOTHING || label >= RULE) continue;
    starts[label & 255] = 1;
    starts[(label >> 8) + 1] = 1;
  }
  const classOf = new Uint8Array(256);
  const first: number[] = [];
  for (let byte = 0; byte < 256; byte++) {
    if (starts[byte]) first.push(byte);
    classOf[byte] = first.length - 1;
  }
  return { classes: first.length, classOf, first: Uint8Array.from(first) };
}

/** Members of sets of states that are none: the text may end here; nothing was read yet. */
const END = -1;
const START = -2;

export class Determiniser {
  readonly #graph: Graph;
  readonly #bytes: Bytes;
  readonly #nullable: (rule: number) => boolean;
  /** For each state: those that are reached from it with nothing and lead on, and END. */
  readonly #closures = new Map<number, readonly number[]>();
  readonly #budget: Budget = { left: LIMITS.subsetWork };
  readonly #strict: number;

  /**
   * The graph's states may get company, but must not change.
   * Those that come are drawn after automata: a rule that they call is not empty, for what happens if it is was drawn too.
   *
   * @param nullable whether a rule accepts the empty text.
   */
  constructor(graph: Graph, bytes: Bytes, nullable: (rule: number) => boolean) {
    this.#strict = graph.states;
    this.#graph = graph;
    this.#bytes = bytes;
    this.#nullable = nullable;
  }

  /**
   * The automaton of a rule. It does not accept the empty text, even if the rule does, unless `empty`: whoever calls it goes on
   * without it then.
   */
  rule(number: number, empty = false): Dfa {
    const { rules, before, last, label, to } = this.#graph;
    const { classes, classOf } = this.#bytes;
    const { name, start, end } = rules[number];
    const subsets = new Subsets(`the automaton of ${name}`, LIMITS.states, this.#budget);
    // Most sets come of a single state.
    const ofState = new Map<number, number>();
    const numberOf = (states: readonly number[]): number => {
      if (states.length > 1) {
        const members = new Set<number>();
        for (const state of new Set(states)) for (const member of this.#closure(state, end)) members.add(member);
        return subsets.number(members);
      }
      let found = ofState.get(states[0]);
      if (found === undefined) {
        found = subsets.number(this.#closure(states[0], end));
        ofState.set(states[0], found);
      }
      return found;
    };
    subsets.number([...this.#closure(start, end), START]);
    let next = new Int32Array(classes * 64);
    const calls: number[][] = [];
    const lists: number[][] = Array.from({ length: classes }, () => []);
    for (let at = 0; at < subsets.sets.length; at++) {
      const called = new Map<number, number[]>();
      for (const state of subsets.sets[at]) {
        if (state < 0) continue;
        for (let edge = last[state]; edge >= 0; edge = before[edge]) {
          const target = to[edge];
          if (label[edge] >= RULE) {
            const targets = called.get(label[edge] - RULE);
            if (targets) targets.push(target);
            else called.set(label[edge] - RULE, [target]);
          } else if (label[edge] !== NOTHING) {
            const high = classOf[label[edge] >> 8];
            for (let c = classOf[label[edge] & 255]; c <= high; c++) lists[c].push(target);
          }
        }
      }
      if ((at + 1) * classes > next.length) {
        const larger = new Int32Array(next.length * 2);
        larger.set(next);
        next = larger;
      }
      for (let c = 0; c < classes; c++) {
        const same =
          c > 0 && lists[c].length === lists[c - 1].length && lists[c].every((t, i) => t === lists[c - 1][i]);
        next[at * classes + c] = same ? next[at * classes + c - 1] : lists[c].length ? numberOf(lists[c]) : NONE;
      }
      for (const list of lists) list.length = 0;
      calls.push([...called].flatMap(([rule, targets]) => [rule, numberOf(targets)]));
    }
    const final = Uint8Array.from(subsets.sets, (set, i) => Number(set.includes(END) && (i > 0 || empty)));
    return { name, next: next.slice(0, final.length * classes), final, calls };
  }

  #closure(state: number, end: number): readonly number[] {
    const known = this.#closures.get(state);
    if (known) return known;
    const { before, last, label, to } = this.#graph;
    const found = new Set([state]);
    const kept: number[] = [];
    for (const at of found) {
      let leads = false;
      for (let edge = last[at]; edge >= 0; edge = before[edge]) {
        if (label[edge] !== NOTHING) leads = true;
        if (label[edge] === NOTHING) found.add(to[edge]);
        else if (label[edge] >= RULE && at < this.#strict && this.#nullable(label[edge] - RULE)) found.add(to[edge]);
      }
      if (leads) kept.push(at);
      if (at === end) kept.push(END);
    }
    this.#closures.set(state, kept);
    return kept;
  }
}
