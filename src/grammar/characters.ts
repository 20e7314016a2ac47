/**
 * Automata over characters: what a regular expression, a length or a list of names says about a text, before it is written in
 * bytes. Here languages can be cut with each other and turned into their opposite.
 */
import { ALL, type Charset, contains, intersect, union } from "./charset.ts";
import { type Encoding, encoded } from "./encode.ts";
import type { Graph } from "./graph.ts";
import { excess, LIMITS } from "./limits.ts";
import { Subsets } from "./subsets.ts";

/** A regular expression without what cannot be had. Strings of characters are sequences of sets. */
export type Expression =
  | { readonly kind: "set"; readonly set: Charset }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Expression[] }
  | { readonly kind: "repeat"; readonly part: Expression; readonly min: number; readonly max: number }
  /** The start and the end of the text. */
  | { readonly kind: "start" | "end" };

export const NONE = -1;

/** A deterministic automaton. Every character belongs to one of `classes`; state 0 is the start. */
export interface Automaton {
  readonly classes: readonly Charset[];
  /** state * classes + class: the next state, or NONE. */
  readonly next: Int32Array;
  readonly accepting: Uint8Array;
}

const ONLY_AT_START = -2;
const ONLY_AT_END = -3;
const FREE = -1;

/** A graph with edges that are a set (its number), or one of the three above. */
class Draft {
  readonly edges: [label: number, to: number][][] = [];
  readonly sets: Charset[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #what: string;
  #drawn = 0;

  constructor(what: string) {
    this.#what = what;
  }

  state(): number {
    if (this.edges.length >= LIMITS.characterGraph)
      throw excess(`${this.#what} becomes too large: it has too many states`, LIMITS.characterGraph);
    return this.edges.push([]) - 1;
  }

  edge(from: number, label: number, to: number): void {
    if (++this.#drawn > LIMITS.characterGraph)
      throw excess(`${this.#what} becomes too large: it has too many edges`, LIMITS.characterGraph);
    this.edges[from].push([label, to]);
  }

  draw(from: number, to: number, expression: Expression): void {
    switch (expression.kind) {
      case "set": {
        const key = expression.set.join();
        let label = this.#numbers.get(key);
        if (label === undefined) {
          label = this.sets.push(expression.set) - 1;
          this.#numbers.set(key, label);
        }
        this.edge(from, label, to);
        return;
      }
      case "start":
      case "end":
        this.edge(from, expression.kind === "start" ? ONLY_AT_START : ONLY_AT_END, to);
        return;
      case "choice":
        for (const part of expression.parts) this.draw(from, to, part);
        return;
      case "sequence":
        for (const [i, part] of expression.parts.entries()) {
          const next = i === expression.parts.length - 1 ? to : this.state();
          this.draw(from, next, part);
          from = next;
        }
        if (expression.parts.length === 0) this.edge(from, FREE, to);
        return;
      case "repeat":
        this.#repeat(from, to, expression);
    }
  }

  #repeat(from: number, to: number, { part, min, max }: Expression & { kind: "repeat" }): void {
    for (let i = 0; i < min; i++) {
      const next = this.state();
      this.draw(from, next, part);
      from = next;
    }
    if (max === Number.POSITIVE_INFINITY) {
      const loop = this.state();
      this.edge(from, FREE, loop);
      this.draw(loop, loop, part);
      this.edge(loop, FREE, to);
      return;
    }
    for (let i = min; i < max; i++) {
      const next = this.state();
      this.edge(from, FREE, to);
      this.draw(from, next, part);
      from = next;
    }
    this.edge(from, FREE, to);
  }
}

/** The automaton of all texts that, as a whole, are what the expression says. `what` names it in errors. */
export function automaton(expression: Expression, what: string): Automaton {
  const draft = new Draft(what);
  const [start, end] = [draft.state(), draft.state()];
  draft.draw(start, end, expression);
  const { edges, sets } = draft;
  const [classes, classesOf] = partition(sets);

  /** All states reached without a character. */
  const closure = (from: Iterable<number>, atStart: boolean, atEnd: boolean): Set<number> => {
    const found = new Set(from);
    for (const state of found)
      for (const [label, to] of edges[state])
        if (label === FREE || (label === ONLY_AT_START && atStart) || (label === ONLY_AT_END && atEnd)) found.add(to);
    return found;
  };
  // A set's states are those that something leads away from; ~0 marks one whose text may end, -2 the start, which no other equals.
  const members = (from: Iterable<number>, atStart = false): Set<number> => {
    const found = closure(from, atStart, false);
    const kept = new Set([...found].filter((state) => edges[state].some(([label]) => label >= 0)));
    if (closure(found, atStart, true).has(end)) kept.add(-1);
    if (atStart) kept.add(-2);
    return kept;
  };

  const subsets = new Subsets(what, LIMITS.characterStates);
  subsets.number(members([start], true));
  const next: number[] = [];
  for (let number = 0; number < subsets.sets.length; number++) {
    const targets: Set<number>[] = classes.map(() => new Set());
    for (const state of subsets.sets[number])
      if (state >= 0)
        for (const [label, to] of edges[state]) if (label >= 0) for (const c of classesOf[label]) targets[c].add(to);
    for (const target of targets) {
      const found = target.size ? members(target) : target;
      next.push(found.size ? subsets.number(found) : NONE);
    }
  }
  const accepting = Uint8Array.from(subsets.sets, (set) => Number(set.includes(-1)));
  return pruned({ classes, next: Int32Array.from(next), accepting });
}

/** Splits all characters into classes that no set divides; for each set, its classes. */
function partition(sets: readonly Charset[]): [classes: Charset[], classesOf: number[][]] {
  const starts = new Set<number>([0]);
  for (const set of sets)
    for (let i = 0; i < set.length; i += 2) {
      starts.add(set[i]);
      starts.add(set[i + 1] + 1);
    }
  const borders = [...starts].sort((a, b) => a - b);
  // Which sets hold what lies between two borders, as one string.
  const holders: string[] = borders.map(() => "");
  for (const [number, set] of sets.entries())
    for (let i = 0, at = 0; i < set.length; i += 2) {
      while (borders[at] < set[i]) at++;
      for (; borders[at] <= set[i + 1]; at++) holders[at] += `${number},`;
    }
  const classes = new Map<string, number[]>();
  for (const [at, holder] of holders.entries()) {
    const ranges = classes.get(holder) ?? [];
    if (borders[at] <= ALL[3]) ranges.push(borders[at], (borders[at + 1] ?? ALL[3] + 1) - 1);
    classes.set(holder, ranges);
  }
  const classesOf: number[][] = sets.map(() => []);
  const found: Charset[] = [];
  for (const [holder, ranges] of classes) {
    const set = intersect(ranges, ALL);
    if (set.length === 0) continue;
    for (const number of holder.split(",")) if (number) classesOf[Number(number)].push(found.length);
    found.push(set);
  }
  return [found, classesOf];
}

/** Any text of `min` to `max` characters. */
export function ofLength(min: number, max: number): Automaton {
  const states = (max === Number.POSITIVE_INFINITY ? min : max) + 1;
  const next = Int32Array.from({ length: states }, (_, i) => i + 1);
  next[states - 1] = max === Number.POSITIVE_INFINITY ? states - 1 : NONE;
  return { classes: [ALL], next, accepting: Uint8Array.from({ length: states }, (_, i) => Number(i >= min)) };
}

/** All texts that both accept. */
export const both = (a: Automaton, b: Automaton, what: string): Automaton => product(a, b, what, (x, y) => x && y);

/** All texts that `a` accepts and `b` does not. */
export const without = (a: Automaton, b: Automaton, what: string): Automaton => product(a, b, what, (x, y) => x && !y);

function product(a: Automaton, b: Automaton, what: string, accepts: (a: boolean, b: boolean) => boolean): Automaton {
  const parts: [i: number, j: number][] = [];
  const classes: Charset[] = [];
  for (const [i, x] of a.classes.entries())
    for (const [j, y] of b.classes.entries()) {
      const common = intersect(x, y);
      if (common.length === 0) continue;
      parts.push([i, j]);
      classes.push(common);
    }
  // A state of b that is none is its last + 1, which accepts nothing. A text that leaves a is lost.
  const [width, none] = [b.accepting.length + 1, b.accepting.length];
  const numbers = new Map<number, number>([[0, 0]]);
  const order = [0];
  const next: number[] = [];
  for (let at = 0; at < order.length; at++) {
    const [s, t] = [Math.floor(order[at] / width), order[at] % width];
    for (const [i, j] of parts) {
      const x = a.next[s * a.classes.length + i];
      const y = t === none ? none : b.next[t * b.classes.length + j];
      if (x === NONE) {
        next.push(NONE);
        continue;
      }
      const pair = x * width + (y === NONE ? none : y);
      let number = numbers.get(pair);
      if (number === undefined) {
        if (order.length >= LIMITS.characterStates)
          throw excess(`${what} becomes too large: it has too many states`, LIMITS.characterStates);
        number = order.push(pair) - 1;
        numbers.set(pair, number);
      }
      next.push(number);
    }
  }
  const accepting = Uint8Array.from(order, (pair) => {
    const [s, t] = [Math.floor(pair / width), pair % width];
    return Number(accepts(a.accepting[s] === 1, t !== none && b.accepting[t] === 1));
  });
  return pruned({ classes, next: Int32Array.from(next), accepting });
}

/** Without the states from which no text is ever accepted; the start stays. */
function pruned({ classes, next, accepting }: Automaton): Automaton {
  const [width, count] = [classes.length, accepting.length];
  const before: number[][] = Array.from({ length: count }, () => []);
  for (let i = 0; i < next.length; i++) if (next[i] !== NONE) before[next[i]].push(Math.floor(i / width));
  const alive = new Set<number>();
  for (let state = 0; state < count; state++) if (accepting[state]) alive.add(state);
  for (const state of alive) for (const from of before[state]) alive.add(from);
  const place = new Int32Array(count).fill(NONE);
  let kept = 0;
  for (let state = 0; state < count; state++) if (state === 0 || alive.has(state)) place[state] = kept++;
  const table = new Int32Array(kept * width).fill(NONE);
  for (let i = 0; i < next.length; i++) {
    const from = place[Math.floor(i / width)];
    if (from !== NONE && next[i] !== NONE) table[from * width + (i % width)] = place[next[i]];
  }
  return { classes, next: table, accepting: accepting.filter((_, state) => place[state] !== NONE) };
}

/** Whether there is no text at all that it accepts. */
export const isEmpty = ({ accepting }: Automaton): boolean => !accepting.includes(1);

/** Whether it accepts the text of these code points. */
export function accepts({ classes, next, accepting }: Automaton, points: readonly number[]): boolean {
  let state = 0;
  for (const point of points) {
    const c = classes.findIndex((set) => contains(set, point));
    if (c < 0) return false;
    state = next[state * classes.length + c];
    if (state === NONE) return false;
  }
  return accepting[state] === 1;
}

/** States that one kind of character may take in a graph altogether; beyond, it is a rule of its own. */
const SPACIOUS = 1000;

/** Draws the automaton into a graph, in bytes. */
export function draw(
  graph: Graph,
  from: number,
  to: number,
  { classes, next, accepting }: Automaton,
  encoding: Encoding,
): void {
  const states = Array.from(accepting, () => graph.state());
  const edges = new Map<string, { set: Charset; places: [from: number, to: number][] }>();
  graph.skip(from, states[0]);
  for (let state = 0; state < states.length; state++) {
    const targets = new Map<number, number[]>();
    for (let c = 0; c < classes.length; c++) {
      const target = next[state * classes.length + c];
      if (target === NONE) continue;
      const together = targets.get(target);
      if (together) together.push(c);
      else targets.set(target, [c]);
    }
    for (const [target, together] of targets) {
      const key = together.join();
      let edge = edges.get(key);
      if (!edge) {
        edge = { set: union(...together.map((c) => classes[c])), places: [] };
        edges.set(key, edge);
      }
      edge.places.push([states[state], states[target]]);
    }
    if (accepting[state]) graph.skip(states[state], to);
  }
  for (const { set, places } of edges.values()) {
    const fragment = encoded(set, encoding);
    if (places.length * fragment.states < SPACIOUS) {
      for (const [a, b] of places) graph.stamp(a, b, fragment);
      continue;
    }
    const rule = graph.rule("a character", true);
    graph.stamp(graph.rules[rule].start, graph.rules[rule].end, fragment);
    for (const [a, b] of places) graph.call(a, b, rule);
  }
}
