/**
 * Texts in which certain phrases never occur: an automaton that knows how much of a phrase the text ends with (Aho and
 * Corasick's), alone or together with a program.
 */
import { RwkvError } from "../errors.ts";
import { LONE } from "./charset.ts";
import { NONE as NO_STATE } from "./determinise.ts";
import { excess, LIMITS } from "./limits.ts";
import { checkSize, type Draft, type Program, toDraft } from "./program.ts";

/** How much of a phrase was seen: state 0 is nothing. */
export interface Seen {
  readonly states: number;
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** state * classes + class: the next state, or -1 where a phrase would be whole. */
  readonly next: Int32Array;
}

/** The automaton of the texts without these phrases. */
export function avoiding(phrases: readonly string[]): Seen {
  if (!Array.isArray(phrases)) throw new RwkvError("input", "bannedPhrases must be a list of strings.");
  if (phrases.length > LIMITS.phrases) throw excess(`there are ${phrases.length} bannedPhrases`, LIMITS.phrases);
  const encoder = new TextEncoder();
  let total = 0;
  const bytes = phrases.map((phrase: unknown, i) => {
    if (typeof phrase !== "string" || phrase === "" || LONE.test(phrase))
      throw new RwkvError("input", `bannedPhrases[${i}] must be a string of at least one character.`);
    total += phrase.length;
    if (total > LIMITS.phraseBytes) throw excess(`bannedPhrases are ${total} characters or more`, LIMITS.phraseBytes);
    return encoder.encode(phrase);
  });

  // Class 0 is every byte that no phrase has; there are some, for UTF-8 never uses them all.
  const classOf = new Uint8Array(256);
  let classes = 1;
  for (const phrase of bytes) for (const byte of phrase) if (classOf[byte] === 0) classOf[byte] = classes++;

  const next: number[] = new Array(classes).fill(-1);
  const whole = [false];
  for (const phrase of bytes) {
    let state = 0;
    for (const byte of phrase) {
      const at = state * classes + classOf[byte];
      if (next[at] < 0) {
        next[at] = whole.push(false) - 1;
        for (let c = 0; c < classes; c++) next.push(-1);
      }
      state = next[at];
    }
    whole[state] = true;
  }
  // The longest end of a state's text that begins a phrase too; it is shorter, so it is complete before it is needed.
  const shorter = new Int32Array(whole.length);
  const order = [0];
  for (const state of order)
    for (let c = 0; c < classes; c++) {
      const at = state * classes + c;
      const fallback = state === 0 ? 0 : next[shorter[state] * classes + c];
      if (next[at] < 0) next[at] = fallback;
      else {
        const target = next[at];
        shorter[target] = fallback;
        if (whole[fallback]) whole[target] = true;
        order.push(target);
      }
    }
  return {
    states: whole.length,
    classOf,
    classes,
    next: Int32Array.from(next, (target) => (whole[target] ? -1 : target)),
  };
}

/** All bytes in any order, as long as no phrase occurs. */
export function anythingBut({ states, classOf, classes, next }: Seen): Draft {
  checkSize(states, classes);
  return {
    classOf,
    classes,
    next,
    final: new Uint8Array(states).fill(1),
    calls: Array.from({ length: states }, () => []),
    start: 0,
  };
}

/** What may happen between the start of a rule, in a state of the phrases, and its end. */
interface Run {
  readonly callee: number;
  readonly seen: number;
  /** Pairs of states, state * phrases' states + state, in the order in which they are found. */
  readonly pairs: number[];
  readonly places: Map<number, number>;
  /** The states of the phrases in which the rule may end. */
  readonly ends: Set<number>;
  /** Who began it, and where to go on there. */
  readonly callers: { run: Run; after: number }[];
}

/**
 * What follows the program and has no phrase. A rule becomes several: one for each state of the phrases that it may begin and
 * end in, so that in every state it is known whether the text can be finished without a phrase.
 */
export function without(program: Program, seen: Seen): Draft {
  const { next, final, calls, start, classes, classOf } = toDraft(program);
  const joint = jointClasses(classOf, seen.classOf);
  const limit = Math.floor(Math.min(LIMITS.pairs, LIMITS.table / joint.pairs.length));
  const runs = new Map<number, Run>();
  const waiting: [run: Run, pair: number][] = [];
  let found = 0;

  const runOf = (callee: number, state: number): Run => {
    const key = callee * seen.states + state;
    let run = runs.get(key);
    if (!run) {
      run = { callee, seen: state, pairs: [], places: new Map(), ends: new Set(), callers: [] };
      runs.set(key, run);
      add(run, callee, state);
    }
    return run;
  };
  const add = (run: Run, state: number, phrase: number): void => {
    const pair = state * seen.states + phrase;
    if (run.places.has(pair)) return;
    if (++found > limit) throw tooLarge(limit);
    run.places.set(pair, run.pairs.push(pair) - 1);
    waiting.push([run, pair]);
  };
  const end = (run: Run, phrase: number): void => {
    const ended: [Run, number][] = [[run, phrase]];
    for (const [at, how] of ended) {
      if (at.ends.has(how)) continue;
      at.ends.add(how);
      for (const { run: caller, after } of at.callers)
        if (after === NO_STATE) ended.push([caller, how]);
        else add(caller, after, how);
    }
  };

  const root = runOf(start, 0);
  for (let item = waiting.pop(); item; item = waiting.pop()) {
    const [run, pair] = item;
    const [state, phrase] = [Math.floor(pair / seen.states), pair % seen.states];
    for (const [c, d] of joint.pairs) {
      const target = next[state * classes + c];
      const reached = seen.next[phrase * seen.classes + d];
      if (target !== NO_STATE && reached >= 0) add(run, target, reached);
    }
    for (let i = 0; i < calls[state].length; i += 2) {
      const called = runOf(calls[state][i], phrase);
      const after = calls[state][i + 1];
      called.callers.push({ run, after });
      for (const how of [...called.ends])
        if (after === NO_STATE) end(run, how);
        else add(run, after, how);
    }
    if (final[state]) end(run, phrase);
  }

  // Rules that begin with a run and end in a given state; the root may end in any.
  const variants = new Map<string, number>();
  const order: { run: Run; ending: number; from: number }[] = [];
  let states = 0;
  const variant = (run: Run, ending: number): number => {
    const key = `${run.callee} ${run.seen} ${ending}`;
    let from = variants.get(key);
    if (from === undefined) {
      from = states;
      variants.set(key, from);
      order.push({ run, ending, from });
      states += run.pairs.length;
      if (states > limit) throw tooLarge(limit);
    }
    return from;
  };
  const ANY = -1;
  variant(root, ANY);
  const table: number[] = [];
  const ends: number[] = [];
  const lists: number[][] = [];
  for (const { run, ending, from } of order) {
    for (const pair of run.pairs) {
      const [state, phrase] = [Math.floor(pair / seen.states), pair % seen.states];
      for (const [c, d] of joint.pairs) {
        const target = next[state * classes + c];
        const reached = seen.next[phrase * seen.classes + d];
        table.push(
          target === NO_STATE || reached < 0 ? NO_STATE : from + run.places.get(target * seen.states + reached)!,
        );
      }
      ends.push(Number(final[state] === 1 && (ending === ANY || ending === phrase)));
      const list: number[] = [];
      for (let i = 0; i < calls[state].length; i += 2) {
        const called = runOf(calls[state][i], phrase);
        const after = calls[state][i + 1];
        for (const how of called.ends)
          if (after !== NO_STATE) list.push(variant(called, how), from + run.places.get(after * seen.states + how)!);
          else if (ending === ANY || ending === how) list.push(variant(called, how), NO_STATE);
      }
      lists.push(list);
    }
  }
  return {
    classOf: joint.classOf,
    classes: joint.pairs.length,
    next: Int32Array.from(table),
    final: Uint8Array.from(ends),
    calls: lists,
    start: 0,
  };
}

const tooLarge = (limit: number) =>
  excess("bannedPhrases and the constraint together become too large: they have too many states", limit);

/** The classes of bytes that neither tells apart. */
function jointClasses(a: Uint8Array, b: Uint8Array): { classOf: Uint8Array; pairs: [number, number][] } {
  const numbers = new Map<number, number>();
  const pairs: [number, number][] = [];
  const classOf = a.map((c, byte) => {
    const key = c * 256 + b[byte];
    let number = numbers.get(key);
    if (number === undefined) {
      number = pairs.push([c, b[byte]]) - 1;
      numbers.set(key, number);
    }
    return number;
  });
  return { classOf, pairs };
}
