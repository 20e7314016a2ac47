/**
 * Follows a text token by token, and says which tokens may come next.
 *
 * What the text may be doing is a set of readings, each a state of the program and a stack. Stacks that were pushed by the same
 * call at the same place of the text are one (a graph-structured stack, as in Tomita's parsers), so that there are never more readings
 * than states times places, however ambiguous the grammar is. Once a place is behind, its stacks do not change: a fork shares them.
 */
import { RwkvError } from "../errors.ts";
import { LIMITS } from "./limits.ts";
import { add, Masks, ones, tooAmbiguous, type Verdict } from "./masks.ts";
import { missingByte, NONE, type Program, restricted } from "./program.ts";
import type { TokenTrie } from "./trie.ts";

/** What is on top, and the stacks below it; none at the bottom. */
interface Stack {
  readonly top: number;
  readonly below: Set<Stack>;
  /** Of the lowest of them. */
  height: number;
}

interface Reading {
  readonly state: number;
  readonly stack: Stack;
}

/** Programs whose masks a trie remembers. */
const REMEMBERED = 8;
const remembered = new WeakMap<TokenTrie, { program: Program; masks: Masks }[]>();

export class Matcher {
  readonly #masks: Masks;
  #readings: readonly Reading[];
  #ended = false;
  /** Steps since the caller asked for something. */
  #work = 0;

  /**
   * @param program what `compileConstraint` made.
   * @param trie the model's vocabulary. What matchers find out about a program is kept with it, for the next one.
   * @param ends tokens that end the text; they are allowed exactly where it is complete, and never as part of it.
   * @throws RwkvError `input` if the vocabulary cannot write any text that the constraint allows.
   */
  constructor(program: Program, trie: TokenTrie, ends: readonly number[]);
  /** @internal */
  constructor(from: Matcher);
  constructor(...from: [program: Program, trie: TokenTrie, ends: readonly number[]] | [from: Matcher]) {
    if (from.length === 1) {
      const [other] = from;
      this.#masks = other.#masks;
      this.#readings = other.#readings;
      this.#ended = other.#ended;
      return;
    }
    this.#masks = masksOf(...from);
    this.#readings = [{ state: this.#masks.program.start, stack: { top: NONE, below: new Set(), height: 0 } }];
  }

  /** Whether the text so far is all that is asked for. More may be allowed to follow. */
  get complete(): boolean {
    const { final } = this.#masks.program;
    const ended = new Set(this.#readings.filter(({ state }) => final[state]).map(({ stack }) => stack));
    for (const { top, below } of ended) {
      if (below.size === 0) return true;
      if (final[top]) for (const stack of below) ended.add(stack);
    }
    return false;
  }

  /**
   * Sets the bits of the tokens that may come next, token i being bit i % 32 of word i / 32, and clears all others.
   *
   * @returns "some", or "end" if nothing can follow and the text is complete. "none" cannot be, for every text that was
   * begun can be finished with the vocabulary.
   */
  mask(into: Uint32Array): "some" | "end" | "none" {
    const { words, ends } = this.#masks;
    if (into.length < words)
      throw new RwkvError("input", `The mask has ${into.length} words; the vocabulary needs ${words}.`);
    into.fill(0);
    if (this.#ended) return "end";
    let some = false;
    for (const [verdict, height] of this.#verdicts()) {
      if (verdict.count === 0) continue;
      if (height + verdict.reach <= LIMITS.depth) {
        verdict.add(into, !some && into.length === words);
        some = true;
        continue;
      }
      // Near the greatest depth it has to be seen which tokens lead beyond it.
      this.#work = 0;
      for (const id of verdict.list())
        if (this.#after(id).length > 0) {
          into[id >>> 5] |= 1 << (id & 31);
          some = true;
        }
    }
    const complete = this.complete;
    if (complete) for (let i = 0; i < words; i++) into[i] |= ends[i];
    return some ? "some" : complete ? "end" : "none";
  }

  /** The verdicts on all readings, one for each way down their stacks as far as it matters, and how high the lowest stack is. */
  #verdicts(): Map<Verdict, number> {
    const masks = this.#masks;
    const found = new Map<Verdict, number>();
    const seen = new Map<Stack, Set<Verdict>>();
    for (const { state, stack } of [...this.#readings].sort((a, b) => a.stack.height - b.stack.height)) {
      const waiting: [Stack, Verdict][] = [[stack, masks.verdict(state)]];
      for (let item = waiting.pop(); item; item = waiting.pop()) {
        const [at, verdict] = item;
        const verdicts = seen.get(at);
        if (verdicts?.has(verdict)) continue;
        if (verdicts) verdicts.add(verdict);
        else seen.set(at, new Set([verdict]));
        if (seen.size > LIMITS.stacks) throw tooAmbiguous();
        if (verdict.exits.length && at.below.size)
          for (const below of at.below) waiting.push([below, masks.under(verdict, at.top)]);
        else if (!found.has(verdict)) found.set(verdict, stack.height);
      }
    }
    return found;
  }

  /**
   * Goes on with a token.
   *
   * @throws RwkvError `input` if the mask does not allow it; nothing has changed then.
   */
  accept(token: number): void {
    const { trie, ends } = this.#masks;
    const known = Number.isInteger(token) && token >= 0 && token < trie.size;
    if (known && !this.#ended) {
      if ((ends[token >>> 5] >>> (token & 31)) & 1) {
        if (this.complete) {
          this.#ended = true;
          return;
        }
      } else if (trie.token(token).length > 0) {
        this.#work = 0;
        const readings = this.#after(token);
        if (readings.length) {
          this.#readings = readings;
          return;
        }
      }
    }
    throw new RwkvError("input", `Token ${token} cannot come next: the constraint does not allow it.`);
  }

  /** Another matcher at the same place, which goes its own way. */
  fork(): Matcher {
    return new Matcher(this);
  }

  #after(token: number): readonly Reading[] {
    let readings = this.#readings;
    for (const byte of this.#masks.trie.token(token)) {
      readings = this.#step(readings, byte);
      if (readings.length === 0) break;
    }
    return readings;
  }

  #step(readings: readonly Reading[], byte: number): Reading[] {
    const { program, bare } = this.#masks;
    const { next, classes, classOf, final, need, calls, callees, returns } = program;
    const c = classOf[byte];
    const pushed = new Map<number, Stack>();
    const seen = new Map<Stack, Set<number>>();
    const waiting = [...readings];
    const reached: Reading[] = [];
    for (let reading = waiting.pop(); reading; reading = waiting.pop()) {
      const { state, stack } = reading;
      if (!add(seen, state, stack)) continue;
      if (++this.#work > LIMITS.work) throw tooAmbiguous();
      for (let i = calls[state]; i < calls[state + 1]; i++) {
        const [callee, after] = [callees[i], returns[i]];
        if (after === NONE) {
          waiting.push({ state: callee, stack });
          continue;
        }
        if (stack.height + need[after] > LIMITS.depth) continue;
        const key = callee * 0x10000 + after;
        let above = pushed.get(key);
        if (!above) {
          above = { top: after, below: new Set(), height: stack.height + 1 };
          pushed.set(key, above);
          waiting.push({ state: callee, stack: above });
        }
        above.below.add(stack);
        above.height = Math.min(above.height, stack.height + 1);
      }
      if (final[state]) for (const below of stack.below) waiting.push({ state: stack.top, stack: below });
      const target = next[state * classes + c];
      if (target !== NONE) reached.push({ state: target, stack });
    }
    // Bytes are taken now that all is known that is below each stack.
    const found: Reading[] = [];
    const kept = new Map<Stack, Set<number>>();
    for (let reading = reached.pop(); reading; reading = reached.pop()) {
      const { state, stack } = reading;
      if (bare[state] && stack.below.size) {
        for (const below of stack.below) reached.push({ state: stack.top, stack: below });
        continue;
      }
      if (stack.height + need[state] > LIMITS.depth || !add(kept, state, stack)) continue;
      found.push(reading);
      if (found.length > LIMITS.readings) throw tooAmbiguous();
    }
    return found;
  }
}

function masksOf(program: Program, trie: TokenTrie, ends: readonly number[]): Masks {
  for (const id of ends)
    if (!Number.isInteger(id) || id < 0 || id >= trie.size)
      throw new RwkvError("input", `Token ${id}, which should end the text, is not among the ${trie.size} tokens.`);
  const list = remembered.get(trie) ?? [];
  remembered.set(trie, list);
  const wanted = [...new Set(ends)];
  const at = list.findIndex(
    ({ program: other, masks }) =>
      same(other, program) &&
      wanted.length === masks.ends.reduce((sum, word) => sum + ones(word), 0) &&
      wanted.every((id) => (masks.ends[id >>> 5] >>> (id & 31)) & 1),
  );
  const [known] = at >= 0 ? list.splice(at, 1) : [{ program, masks: make(program, trie, wanted) }];
  list.push(known);
  if (list.length > REMEMBERED) list.shift();
  return known.masks;
}

function make(program: Program, trie: TokenTrie, ends: readonly number[]): Masks {
  // With a token for each byte that a text may go on with, what was begun can be finished. Bytes without one are not begun.
  const available = new Uint8Array(256);
  for (let node = 1; node < trie.nodes; node = trie.skip[node])
    for (let i = trie.first[node]; i < trie.first[node + 1]; i++)
      if (!ends.includes(trie.ids[i])) available[trie.label[node]] = 1;
  const possible = restricted(program, available);
  if (!possible) {
    const byte = missingByte(program, available).toString(16).padStart(2, "0");
    throw new RwkvError(
      "input",
      `The vocabulary cannot write any text that the constraint allows: it has no token of the byte 0x${byte} alone, among others.`,
    );
  }
  return new Masks(possible, trie, ends);
}

function same(a: Program, b: Program): boolean {
  if (a === b) return true;
  const names = Object.keys(a) as (keyof Program)[];
  return names.every((name) => {
    const [x, y] = [a[name], b[name]];
    if (typeof x === "number" || typeof y === "number") return x === y;
    if (x.length !== y.length) return false;
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
    return true;
  });
}
