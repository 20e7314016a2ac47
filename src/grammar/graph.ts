/**
 * Rules while they are put together: a graph of states, with edges that are a byte, another rule, or nothing.
 *
 * Each way to write a constraint builds one of these; `rules.ts` makes deterministic automata of them.
 */
import { excess, LIMITS } from "./limits.ts";

/** A label below is bytes: the lowest + 256 * the highest. From it on it is a rule. */
export const RULE = 0x10000;
export const NOTHING = -1;

export interface Rule {
  /** For messages. */
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** It stays a rule, however small it is, for it is called very often. */
  readonly kept: boolean;
}

/** A piece of a graph that is put into many places: edges (from, label, to), state 0 where it begins, 1 where it ends. */
export interface Fragment {
  readonly states: number;
  readonly edges: readonly number[];
}

export class Graph {
  readonly rules: Rule[] = [];
  /** Of each state, its last edge, or -1; of each edge, the one before it, its label and where it leads. */
  readonly last: number[] = [];
  readonly before: number[] = [];
  readonly label: number[] = [];
  readonly to: number[] = [];

  get states(): number {
    return this.last.length;
  }

  state(): number {
    if (this.last.length >= LIMITS.graphStates)
      throw excess("the constraint becomes too large: its rules have too many states", LIMITS.graphStates);
    return this.last.push(-1) - 1;
  }

  edge(from: number, label: number, to: number): void {
    if (this.to.length >= LIMITS.graphEdges)
      throw excess("the constraint becomes too large: its rules have too many edges", LIMITS.graphEdges);
    this.before.push(this.last[from]);
    this.last[from] = this.to.length;
    this.label.push(label);
    this.to.push(to);
  }

  /** A new rule, still without a way from its start to its end; its number. */
  rule(name: string, kept = false): number {
    if (this.rules.length >= LIMITS.rules) throw excess("there are too many rules", LIMITS.rules);
    return this.rules.push({ name, start: this.state(), end: this.state(), kept }) - 1;
  }

  /** The byte `low`, or any from `low` to `high`. */
  byte(from: number, to: number, low: number, high = low): void {
    this.edge(from, low | (high << 8), to);
  }

  call(from: number, to: number, rule: number): void {
    this.edge(from, RULE + rule, to);
  }

  skip(from: number, to: number): void {
    if (from !== to) this.edge(from, NOTHING, to);
  }

  /** The bytes of an ASCII text, one after another. */
  ascii(from: number, to: number, text: string): void {
    this.bytes(
      from,
      to,
      Uint8Array.from(text, (character) => character.charCodeAt(0)),
    );
  }

  bytes(from: number, to: number, bytes: Uint8Array): void {
    if (bytes.length === 0) this.skip(from, to);
    bytes.forEach((byte, i) => {
      const next = i === bytes.length - 1 ? to : this.state();
      this.byte(from, next, byte);
      from = next;
    });
  }

  stamp(from: number, to: number, { states, edges }: Fragment): void {
    const place = [from, to];
    for (let i = 2; i < states; i++) place.push(this.state());
    for (let i = 0; i < edges.length; i += 3) this.edge(place[edges[i]], edges[i + 1], place[edges[i + 2]]);
  }

  /**
   * `build` several times: at least `min` times, at most `max`, which may be Infinity. `build` draws whatever it repeats
   * between two states.
   */
  repeat(from: number, to: number, min: number, max: number, build: (from: number, to: number) => void): void {
    for (let i = 0; i < min; i++) {
      const next = this.state();
      build(from, next);
      from = next;
    }
    if (max === Number.POSITIVE_INFINITY) {
      // A state that only repeats, so that a loop within `build` is not mistaken for this one.
      const loop = this.state();
      this.skip(from, loop);
      build(loop, loop);
      this.skip(loop, to);
      return;
    }
    for (let i = min; i < max; i++) {
      const next = this.state();
      this.skip(from, to);
      build(from, next);
      from = next;
    }
    this.skip(from, to);
  }
}
