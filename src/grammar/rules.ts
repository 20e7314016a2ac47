/**
 * From rules to deterministic automata, one per rule that stays a rule.
 *
 * On the way rules are put into those that use them where that makes walking along tokens quicker; rules that can never
 * end are told; and left recursion (a rule that begins with itself) becomes repetition.
 */
import { RwkvError } from "../errors.ts";
import { type Bytes, bytesOf, Determiniser, type Dfa, NONE } from "./determinise.ts";
import { type Graph, NOTHING, RULE } from "./graph.ts";
import { excess, LIMITS } from "./limits.ts";

/** Rules up to this many states are always put into place. */
const SMALL = 24;

export interface Automata {
  readonly bytes: Bytes;
  /** The automaton of each rule that is left, by the rule's number. */
  readonly dfas: ReadonlyMap<number, Dfa>;
  readonly root: number;
}

/**
 * @param whole what to call the rules in messages.
 * @param reasons why some of them allow nothing, if that is known better than by their names.
 * @throws RwkvError `input` if no text at all follows the rules.
 */
export function automata(
  graph: Graph,
  root: number,
  whole: string,
  reasons: readonly (readonly [at: string, why: string])[] = [],
): Automata {
  const rules = new Rules(graph, root);
  rules.checkEnds(whole, reasons);
  rules.inline();
  return rules.finish();
}

class Rules {
  readonly #graph: Graph;
  readonly #root: number;
  /** Of each rule that the root needs: its states, and the edges that call rules. */
  readonly #states = new Map<number, number[]>();
  readonly #calls = new Map<number, number[]>();
  /** Edges that call each rule, and the rule that each is in, or was before that became part of another. */
  readonly #sites = new Map<number, { edge: number; caller: number }[]>();
  readonly #home = new Map<number, number>();
  readonly #order: number[] = [];
  readonly #bytes: Bytes;
  readonly #nullable: (rule: number) => boolean;

  constructor(graph: Graph, root: number) {
    this.#graph = graph;
    if (graph.label.includes(RULE + root)) {
      // Nothing may call the root, which alone may accept the empty text.
      const outer = graph.rule(graph.rules[root].name);
      graph.call(graph.rules[outer].start, graph.rules[outer].end, root);
      root = outer;
    }
    this.#root = root;
    this.#visit();
    // Neither changes when rules are put into each other.
    this.#bytes = bytesOf(graph);
    const empty = this.#fixpoint((label) => label === NOTHING, this.#order);
    this.#nullable = (rule) => empty.has(rule);
  }

  /** Finds what the root needs; puts rules after those that they call, as far as that is possible. */
  #visit(): void {
    const { label } = this.#graph;
    const path: { rule: number; at: number }[] = [];
    const enter = (rule: number) => {
      const [states, calls] = this.#reach(rule);
      this.#states.set(rule, states);
      this.#calls.set(rule, calls);
      if (!this.#sites.has(rule)) this.#sites.set(rule, []);
      path.push({ rule, at: 0 });
    };
    enter(this.#root);
    while (path.length) {
      const step = path[path.length - 1];
      const edge = this.#calls.get(step.rule)![step.at++];
      if (edge === undefined) {
        this.#order.push(step.rule);
        path.pop();
        continue;
      }
      const called = label[edge] - RULE;
      if (!this.#states.has(called)) enter(called);
      this.#sites.get(called)!.push({ edge, caller: step.rule });
    }
  }

  #reach(rule: number): [states: number[], calls: number[]] {
    const { rules, last, before, label, to } = this.#graph;
    const found = new Set([rules[rule].start, rules[rule].end]);
    const calls: number[] = [];
    for (const state of found)
      for (let edge = last[state]; edge >= 0; edge = before[edge]) {
        found.add(to[edge]);
        if (label[edge] >= RULE) calls.push(edge);
      }
    return [[...found], calls];
  }

  /**
   * Rules whose end can be reached from their start by edges that `passes` lets through; for a rule it is asked whether
   * that rule was found already.
   */
  #fixpoint(passes: (label: number) => boolean, rules: readonly number[]): Set<number> {
    const graph = this.#graph;
    const found = new Set<number>();
    const waiting = new Set(rules);
    const callers = new Map<number, Set<number>>();
    for (const rule of rules)
      for (const edge of this.#reach(rule)[1]) {
        const called = graph.label[edge] - RULE;
        if (!callers.has(called)) callers.set(called, new Set());
        callers.get(called)!.add(rule);
      }
    for (const rule of waiting) {
      waiting.delete(rule);
      if (found.has(rule)) continue;
      const { start, end } = graph.rules[rule];
      const seen = new Set([start]);
      for (const state of seen)
        for (let edge = graph.last[state]; edge >= 0; edge = graph.before[edge]) {
          const label = graph.label[edge];
          if (label >= RULE ? found.has(label - RULE) : passes(label)) seen.add(graph.to[edge]);
        }
      if (!seen.has(end)) continue;
      found.add(rule);
      for (const caller of callers.get(rule) ?? []) if (!found.has(caller)) waiting.add(caller);
    }
    return found;
  }

  checkEnds(whole: string, reasons: readonly (readonly [at: string, why: string])[]): void {
    const found = this.#fixpoint(() => true, this.#order);
    if (found.has(this.#root)) return;
    if (reasons.length)
      throw new RwkvError("input", `No text can follow ${whole}: ${reasons[0][1]}, at ${reasons[0][0]}.`);
    // Go along what the root needs and has no end, until it repeats or needs nothing.
    const { label, rules } = this.#graph;
    const seen = new Set<number>();
    let rule = this.#root;
    for (;;) {
      seen.add(rule);
      const needed = this.#calls.get(rule)!.map((edge) => label[edge] - RULE);
      const endless = needed.filter((called) => !found.has(called));
      const next = endless.find((called) => !seen.has(called));
      if (next === undefined) {
        const why = endless.length
          ? `every way through it needs ${rules[endless[0]].name} again`
          : "nothing at all follows it";
        throw new RwkvError("input", `No text can follow ${whole}: ${rules[rule].name} never ends, since ${why}.`);
      }
      rule = next;
    }
  }

  /**
   * Puts rules into those that call them: small ones, those called once, and those of which one cannot tell where they
   * end (such as a number: more digits may follow), since tokens often go beyond the end of those.
   */
  inline(): void {
    let budget: number = LIMITS.inlining;
    for (const rule of this.#order) {
      const sites = this.#sites.get(rule)!;
      const self = this.#calls.get(rule)!.some((edge) => this.#graph.label[edge] === RULE + rule);
      if (rule === this.#root || self || sites.length === 0 || this.#graph.rules[rule].kept) continue;
      const size = this.#states.get(rule)!.length;
      const growth = size * (sites.length - 1);
      if (growth > budget) continue;
      if (growth > 0 && size > SMALL && this.#hasClearEnd(rule)) continue;
      budget -= growth;
      while (sites.length > 1) this.#copy(rule, sites.pop()!);
      this.#splice(rule, sites.pop()!);
    }
  }

  /** Whether nothing that follows the rule can be longer than something else that follows it. */
  #hasClearEnd(rule: number): boolean {
    const bytes = this.#bytes;
    const { next, final, calls } = new Determiniser(this.#graph, bytes, this.#nullable).rule(rule);
    return final.every(
      (ends, state) =>
        !ends ||
        (calls[state].length === 0 &&
          next.subarray(state * bytes.classes, (state + 1) * bytes.classes).every((target) => target === NONE)),
    );
  }

  #needed(): Set<number> {
    const found = new Set([this.#root]);
    for (const at of found) for (const edge of this.#reach(at)[1]) found.add(this.#graph.label[edge] - RULE);
    return found;
  }

  #homeOf(rule: number): number {
    let home = rule;
    for (let next = this.#home.get(home); next !== undefined; next = this.#home.get(home)) home = next;
    return home;
  }

  /** The states of the rule become part of the rule that calls it. */
  #splice(rule: number, { edge, caller }: { edge: number; caller: number }): void {
    const graph = this.#graph;
    const { start, end } = graph.rules[rule];
    const into = this.#homeOf(caller);
    const after = graph.to[edge];
    graph.label[edge] = NOTHING;
    graph.to[edge] = start;
    graph.skip(end, after);
    this.#home.set(rule, into);
    for (const lists of [this.#states, this.#calls]) {
      const [a, b] = [lists.get(rule)!, lists.get(into)!];
      const [large, small] = a.length > b.length ? [a, b] : [b, a];
      for (const member of small) large.push(member);
      lists.set(into, large);
      lists.delete(rule);
    }
    this.#forget(into, edge);
  }

  #copy(rule: number, { edge, caller }: { edge: number; caller: number }): void {
    const graph = this.#graph;
    const { start, end } = graph.rules[rule];
    const into = this.#homeOf(caller);
    const place = new Map<number, number>();
    for (const state of this.#states.get(rule)!) place.set(state, graph.state());
    for (const [state, copy] of place)
      for (let e = graph.last[state]; e >= 0; e = graph.before[e]) {
        const label = graph.label[e];
        graph.edge(copy, label, place.get(graph.to[e])!);
        if (label < RULE) continue;
        this.#calls.get(into)!.push(graph.to.length - 1);
        this.#sites.get(label - RULE)!.push({ edge: graph.to.length - 1, caller: into });
      }
    for (const copy of place.values()) this.#states.get(into)!.push(copy);
    const after = graph.to[edge];
    graph.label[edge] = NOTHING;
    graph.to[edge] = place.get(start)!;
    graph.skip(place.get(end)!, after);
    this.#forget(into, edge);
  }

  #forget(rule: number, edge: number): void {
    const calls = this.#calls.get(rule)!;
    const at = calls.indexOf(edge);
    calls[at] = calls[calls.length - 1];
    calls.pop();
  }

  finish(): Automata {
    const graph = this.#graph;
    const bytes = this.#bytes;
    const determiniser = new Determiniser(graph, bytes, this.#nullable);
    const dfas = new Map<number, Dfa>();
    const make = (rule: number) => dfas.set(rule, determiniser.rule(rule, rule === this.#root));
    for (const rule of this.#needed()) make(rule);

    const left = (rule: number): number[] => dfas.get(rule)!.calls[0].filter((_, i) => i % 2 === 0);
    const core = leftRecursive([...dfas.keys()], left);
    if (core.length > LIMITS.leftRecursive)
      throw excess(`${core.length} rules begin with each other`, LIMITS.leftRecursive);
    for (const [i, rule] of core.entries()) {
      const earlier = core.slice(0, i);
      // What begins with an earlier rule begins with what that begins with, which is no rule up to it any more.
      for (let found = left(rule).filter((called) => earlier.includes(called)); found.length; ) {
        this.#redraw(rule, dfas, bytes, found);
        make(rule);
        found = left(rule).filter((called) => earlier.includes(called));
      }
      if (!left(rule).includes(rule)) continue;
      this.#redraw(rule, dfas, bytes, []);
      make(rule);
    }
    return { bytes, dfas, root: this.#root };
  }

  /**
   * Draws a rule anew from its automaton: at its start the rules of `expand` are replaced by what they are, and the rule itself by a
   * way back from its ends: what may follow it at its start may follow it at its end.
   */
  #redraw(rule: number, dfas: ReadonlyMap<number, Dfa>, bytes: Bytes, expand: readonly number[]): void {
    const graph = this.#graph;
    const { calls, final } = dfas.get(rule)!;
    const end = graph.state();
    const states = this.#drawn(dfas.get(rule)!, bytes, end, (called) => called === rule || expand.includes(called));
    for (let i = 0; i < calls[0].length; i += 2) {
      const [called, after] = [calls[0][i], states[calls[0][i + 1]]];
      if (called === rule && !expand.includes(rule)) {
        for (const [state, ends] of final.entries()) if (ends) graph.skip(states[state], after);
      } else if (expand.includes(called)) {
        const inner = this.#drawn(dfas.get(called)!, bytes, after, () => false);
        graph.skip(states[0], inner[0]);
      }
    }
    graph.rules[rule] = { ...graph.rules[rule], start: states[0], end };
  }

  /** Draws an automaton, its ends leading to `end`; its states. Left out are calls at the start that `without` names. */
  #drawn(dfa: Dfa, { classes, first }: Bytes, end: number, without: (rule: number) => boolean): number[] {
    const graph = this.#graph;
    const states = Array.from(dfa.final, () => graph.state());
    for (const [at, state] of states.entries()) {
      for (let c = 0; c < classes; ) {
        const from = c;
        const target = dfa.next[at * classes + c];
        do c++;
        while (c < classes && dfa.next[at * classes + c] === target);
        if (target !== NONE) graph.byte(state, states[target], first[from], c < classes ? first[c] - 1 : 255);
      }
      for (let i = 0; i < dfa.calls[at].length; i += 2)
        if (at > 0 || !without(dfa.calls[at][i])) graph.call(state, states[dfa.calls[at][i + 1]], dfa.calls[at][i]);
      if (dfa.final[at]) graph.skip(state, end);
    }
    return states;
  }
}

/** Those of the rules that begin with each other in a circle. */
function leftRecursive(rules: readonly number[], left: (rule: number) => number[]): number[] {
  const rest = new Set(rules);
  for (let before = -1; before !== rest.size; ) {
    before = rest.size;
    const called = new Set([...rest].flatMap(left));
    for (const rule of [...rest].reverse())
      if (!called.has(rule) || !left(rule).some((next) => rest.has(next))) rest.delete(rule);
  }
  return [...rest];
}
