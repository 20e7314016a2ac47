/**
 * A compiled constraint: one table of all states, plain data that can be sent to a worker.
 *
 * It is a machine with a stack. In a state, a byte leads to another state; or a rule begins at its first state, and
 * where to go on after it is pushed onto the stack; in a final state the rule ends, and what was pushed last is popped. With nothing on the
 * stack, a final state ends the text. From every state of a program the text can be finished.
 */
import { RwkvError } from "../errors.ts";
import { NONE as NO_STATE } from "./determinise.ts";
import { excess, LIMITS } from "./limits.ts";
import type { Automata } from "./rules.ts";

/** No state; as where to go on after a rule: where the rule that begins it goes on. */
export const NONE = 0xffff;

export interface Program {
  /** Bytes that no state tells apart are a class. */
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** state * classes + class: the next state, or NONE. */
  readonly next: Uint16Array;
  /** 1 where a rule may end. */
  readonly final: Uint8Array;
  /** The rules that may begin in state s: `callees[i]` and `returns[i]` for i from `calls[s]` to `calls[s + 1]` - 1. */
  readonly calls: Uint32Array;
  /** The first states of rules. */
  readonly callees: Uint16Array;
  /** Where to go on after them, or NONE. */
  readonly returns: Uint16Array;
  /** How much deeper the stack must become, at least, to finish what was begun in a state. */
  readonly need: Uint16Array;
  readonly start: number;
}

/** A program before what cannot be finished is taken out. Calls: callee, return, callee, return, ... */
export interface Draft {
  readonly classOf: Uint8Array;
  readonly classes: number;
  readonly next: Int32Array;
  readonly final: Uint8Array;
  readonly calls: readonly (readonly number[])[];
  readonly start: number;
}

/** Puts the automata of all rules into one table. */
export function joined({ bytes, dfas, root }: Automata): Draft {
  const place = new Map<number, number>();
  const order = [root];
  let states = 0;
  for (const rule of order) {
    if (place.has(rule)) continue;
    const { final, calls } = dfas.get(rule)!;
    place.set(rule, states);
    states += final.length;
    for (const called of calls)
      for (let i = 0; i < called.length; i += 2) if (!place.has(called[i])) order.push(called[i]);
  }
  const { classes, classOf } = bytes;
  checkSize(states, classes);
  const next = new Int32Array(states * classes);
  const final = new Uint8Array(states);
  const calls: number[][] = [];
  for (const [rule, from] of place) {
    const dfa = dfas.get(rule)!;
    next.set(
      dfa.next.map((target) => (target === NO_STATE ? NO_STATE : target + from)),
      from * classes,
    );
    final.set(dfa.final, from);
    for (const called of dfa.calls) calls.push(called.map((value, i) => (i % 2 ? value + from : place.get(value)!)));
  }
  return { classOf, classes, next, final, calls, start: 0 };
}

export function checkSize(states: number, classes: number): void {
  if (states > LIMITS.states) throw excess(`the constraint becomes too large: it has ${states} states`, LIMITS.states);
  if (states * classes > LIMITS.table)
    throw excess(`the constraint becomes too large: ${states} states for ${classes} kinds of bytes`, LIMITS.table);
}

/**
 * Takes out what cannot be finished or is never reached, and makes a program of the rest; undefined if nothing is left.
 *
 * @param available bytes that there are, by number; undefined for all.
 * @throws RwkvError `unsupported` if texts can only be finished deeper within rules than the limit.
 */
export function trimmed(whole: Draft, available?: Uint8Array): Program | undefined {
  const { start, classes } = whole;
  const usable = new Uint8Array(classes);
  for (let byte = 0; byte < 256; byte++) if (!available || available[byte]) usable[whole.classOf[byte]] = 1;
  const draft = withTailCalls(whole, usable);
  const need = needs(draft, usable);
  if (need[start] === NEVER) return undefined;
  if (need[start] > LIMITS.depth) throw excess(`texts need rules within rules, ${need[start]} deep`, LIMITS.depth);
  const finishable = (state: number): boolean => need[state] <= LIMITS.depth;

  // What only ends a rule is one state for all rules.
  const bare = (state: number): boolean => {
    if (!draft.final[state] || draft.calls[state].length) return false;
    for (let c = 0; c < classes; c++) {
      const target = draft.next[state * classes + c];
      if (usable[c] && target !== NO_STATE && finishable(target)) return false;
    }
    return true;
  };
  const place = new Int32Array(draft.final.length).fill(-1);
  const order: number[] = [];
  let ending = -1;
  const reach = (state: number): void => {
    if (place[state] >= 0 || !finishable(state)) return;
    if (bare(state)) {
      if (ending < 0) ending = order.push(state) - 1;
      place[state] = ending;
    } else place[state] = order.push(state) - 1;
  };
  reach(start);
  for (const state of order) {
    for (let c = 0; c < classes; c++) {
      const target = draft.next[state * classes + c];
      if (usable[c] && target !== NO_STATE) reach(target);
    }
    for (let i = 0; i < draft.calls[state].length; i += 2) {
      const [callee, after] = [draft.calls[state][i], draft.calls[state][i + 1]];
      if (!finishable(callee) || (after !== NO_STATE && !finishable(after))) continue;
      reach(callee);
      if (after !== NO_STATE) reach(after);
    }
  }

  const table = new Int32Array(order.length * classes).fill(NONE);
  const calls = new Uint32Array(order.length + 1);
  const pairs: number[] = [];
  for (const [at, state] of order.entries()) {
    for (let c = 0; c < classes; c++) {
      const target = draft.next[state * classes + c];
      if (usable[c] && target !== NO_STATE && finishable(target)) table[at * classes + c] = place[target];
    }
    for (let i = 0; i < draft.calls[state].length; i += 2) {
      const [callee, after] = [draft.calls[state][i], draft.calls[state][i + 1]];
      if (!finishable(callee) || (after !== NO_STATE && !finishable(after))) continue;
      pairs.push(place[callee], after === NO_STATE || place[after] === ending ? NONE : place[after]);
    }
    calls[at + 1] = pairs.length / 2;
  }
  const { classOf, merged, next } = withoutEqualClasses(table, order.length, draft, available);
  checkSize(order.length, merged);
  return {
    classOf,
    classes: merged,
    next,
    final: Uint8Array.from(order, (state) => draft.final[state]),
    calls,
    callees: Uint16Array.from(pairs.filter((_, i) => i % 2 === 0)),
    returns: Uint16Array.from(pairs.filter((_, i) => i % 2 === 1)),
    need: Uint16Array.from(order, (state) => need[state]),
    start: place[start],
  };
}

/** Where a rule ends with another one, nothing has to be remembered. */
function withTailCalls(draft: Draft, usable: Uint8Array): Draft {
  const { next, final, calls, classes } = draft;
  const onlyEnds = (state: number): boolean => {
    if (!final[state] || calls[state].length) return false;
    for (let c = 0; c < classes; c++) if (usable[c] && next[state * classes + c] !== NO_STATE) return false;
    return true;
  };
  const changed = calls.map((list) =>
    list.map((value, i) => (i % 2 && value !== NO_STATE && onlyEnds(value) ? NO_STATE : value)),
  );
  return { ...draft, calls: changed };
}

const NEVER = 0xffffffff;

/**
 * How much deeper the stack must become to finish each state, or NEVER. States are settled in the order of their depth, the shallowest
 * first (Knuth's way to generalise Dijkstra's): a byte needs what the next state needs; a rule one more than its own, or what
 * follows it.
 */
function needs({ next, final, calls, classes }: Draft, usable: Uint8Array): Uint32Array {
  const states = final.length;
  const need = new Uint32Array(states).fill(NEVER);
  const settled = new Uint8Array(states);
  // Who has to be asked again when a state is settled: by bytes, and by calls.
  const count = new Uint32Array(states + 1);
  const eachByte = (visit: (from: number, target: number) => void) => {
    for (let state = 0, i = 0; state < states; state++)
      for (let c = 0; c < classes; c++, i++) {
        // Neighbouring classes often lead to the same state.
        if (!usable[c] || next[i] === NO_STATE || (c > 0 && usable[c - 1] && next[i - 1] === next[i])) continue;
        visit(state, next[i]);
      }
  };
  eachByte((_, target) => count[target + 1]++);
  for (let state = 0; state < states; state++) count[state + 1] += count[state];
  const sources = new Uint32Array(count[states]);
  const fill = count.slice();
  eachByte((from, target) => {
    sources[fill[target]++] = from;
  });
  const called = new Map<number, number[]>();
  const call = (state: number, by: number) => {
    const list = called.get(state);
    if (list) list.push(by);
    else called.set(state, [by]);
  };
  for (let state = 0; state < states; state++)
    for (const value of calls[state]) if (value !== NO_STATE) call(value, state);

  const levels: number[][] = [[]];
  const offer = (state: number, depth: number): void => {
    if (depth >= need[state]) return;
    need[state] = depth;
    levels[depth] ??= [];
    levels[depth].push(state);
  };
  for (let state = 0; state < states; state++) if (final[state]) offer(state, 0);
  for (let depth = 0; depth < levels.length; depth++) {
    const level = levels[depth] ?? [];
    for (const state of level) {
      if (settled[state]) continue;
      settled[state] = 1;
      for (let i = count[state]; i < count[state + 1]; i++) offer(sources[i], depth);
      for (const by of called.get(state) ?? []) {
        if (settled[by]) continue;
        for (let i = 0; i < calls[by].length; i += 2) {
          const [callee, after] = [calls[by][i], calls[by][i + 1]];
          if (!settled[callee] || (after !== NO_STATE && !settled[after])) continue;
          offer(by, after === NO_STATE ? need[callee] : Math.max(need[callee] + 1, need[after]));
        }
      }
    }
  }
  return need;
}

/** Joins classes of bytes that lead to the same states everywhere. */
function withoutEqualClasses(table: Int32Array, states: number, { classOf, classes }: Draft, available?: Uint8Array) {
  const groups = new Map<string, number>();
  const first: number[] = [];
  const group = new Int32Array(classes + 1);
  const hashes = Array.from({ length: classes }, (_, c) => {
    let [a, b] = [0, 0];
    for (let i = c; i < table.length; i += classes) {
      a = (Math.imul(a, 31) + table[i]) | 0;
      b = (Math.imul(b ^ table[i], 0x9e3779b1) + 1) | 0;
    }
    return `${a} ${b}`;
  });
  const equal = (c: number, d: number): boolean => {
    for (let i = 0; i < table.length; i += classes) if (table[i + c] !== table[i + d]) return false;
    return true;
  };
  for (let c = 0; c < classes; c++) {
    const found = groups.get(hashes[c]);
    if (found !== undefined && equal(first[found], c)) group[c] = found;
    else {
      group[c] = first.push(c) - 1;
      groups.set(hashes[c], group[c]);
    }
  }
  // Bytes that there are not have a class of their own, which leads nowhere.
  const lost = available?.includes(0) ? first.length : -1;
  const merged = first.length + (lost < 0 ? 0 : 1);
  const next = new Uint16Array(states * merged).fill(NONE);
  for (let state = 0; state < states; state++)
    for (const [c, from] of first.entries()) next[state * merged + c] = table[state * classes + from];
  return {
    merged,
    next,
    classOf: classOf.map((c, byte) => (available && !available[byte] ? lost : group[c])),
  };
}

/** What there is of a program if some bytes cannot be written: those that `available` has no 1 for. */
export function restricted(program: Program, available: Uint8Array): Program | undefined {
  const { classOf, next } = program;
  let [needed, lacking] = [new Uint8Array(program.classes), false];
  for (let i = 0; i < next.length; i++) if (next[i] !== NONE) needed[i % program.classes] = 1;
  for (let byte = 0; byte < 256; byte++) if (needed[classOf[byte]] && !available[byte]) lacking = true;
  return lacking ? trimmed(toDraft(program), available) : program;
}

export function toDraft({ classOf, classes, next, final, calls, callees, returns, start }: Program): Draft {
  const state = (value: number): number => (value === NONE ? NO_STATE : value);
  return {
    classOf,
    classes,
    next: Int32Array.from(next, state),
    final,
    calls: Array.from(final, (_, s) => {
      const list: number[] = [];
      for (let i = calls[s]; i < calls[s + 1]; i++) list.push(callees[i], state(returns[i]));
      return list;
    }),
    start,
  };
}

/** A byte that the program needs and that is not available, to begin with those that come first. */
export function missingByte(program: Program, available: Uint8Array): number {
  const { classOf, classes, next, start } = program;
  const seen = new Set([start]);
  for (const state of seen) {
    for (let byte = 0; byte < 256; byte++) {
      const target = next[state * classes + classOf[byte]];
      if (target === NONE) continue;
      if (!available[byte]) return byte;
      seen.add(target);
    }
    for (let i = program.calls[state]; i < program.calls[state + 1]; i++) {
      seen.add(program.callees[i]);
      if (program.returns[i] !== NONE) seen.add(program.returns[i]);
    }
  }
  throw new RwkvError("input", "All bytes are there.");
}
