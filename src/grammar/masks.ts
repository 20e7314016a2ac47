/**
 * Which tokens a program can go along with, found out once for each state that is met and remembered.
 *
 * From a state, the trie is walked with what the program may be doing meanwhile, without knowing what is on its stack: most
 * tokens end before that matters, and are allowed or not wherever the state occurs. Where the rule that was on top may have
 * ended within a token, the node of the trie is noted, and the walk goes on from there once it is known what follows that
 * rule; the outcome is remembered for the state and what follows it, and so on down the stack.
 */
import { excess, LIMITS } from "./limits.ts";
import { NONE, type Program } from "./program.ts";
import type { TokenTrie } from "./trie.ts";

/** What is remembered, in bytes, before everything is forgotten. */
const MEMORY = 1 << 24;
/** Sets of positions that are kept, and stacks in them. */
const KEPT = 20_000;
/** Sets that a single walk may find. */
const LARGEST = 60_000;

const DEAD = -1;
const UNKNOWN = -2;
const BOTTOM = 0;
/** Added to where a set leads if the bottom of the stack may be reached there, and if the stack must become higher. */
const LEAVES = 1;
const DEEPER = 2;
const SPECIAL = LEAVES | DEEPER;

/** The tokens that are allowed in a state, with so much of the stack known as led here. */
export class Verdict {
  /** How many. */
  readonly count: number;
  /** A bit for each id; or the ids, if they are few. */
  readonly bits: Uint32Array | undefined;
  readonly ids: Uint32Array | undefined;
  /** Nodes of the trie at which what is known of the stack was used up, with more tokens below them. */
  readonly exits: Uint32Array;
  /** How much deeper the stack may become on the way. */
  readonly reach: number;
  /** The verdict if one more place of the stack is known. */
  readonly under = new Map<number, Verdict>();

  constructor(
    count: number,
    bits: Uint32Array | undefined,
    ids: Uint32Array | undefined,
    exits: Uint32Array,
    reach: number,
  ) {
    this.count = count;
    this.bits = bits;
    this.ids = ids;
    this.exits = exits;
    this.reach = reach;
  }

  /** Sets the tokens' bits in `into`. */
  add(into: Uint32Array, alone: boolean): void {
    const { bits, ids } = this;
    if (bits && alone) into.set(bits);
    else if (bits) for (let i = 0; i < bits.length; i++) into[i] |= bits[i];
    else if (ids) for (let i = 0; i < ids.length; i++) into[ids[i] >>> 5] |= 1 << (ids[i] & 31);
  }

  /** The ids, in ascending order. */
  list(): Uint32Array {
    return this.ids ?? members(this.bits!, this.count);
  }
}

export class Masks {
  readonly program: Program;
  readonly trie: TokenTrie;
  /** Words of a mask. */
  readonly words: number;
  /** Bits of the tokens that end the text, which are never part of it. */
  readonly ends: Uint32Array;
  /** States that are good for nothing but to end a rule. */
  readonly bare: Uint8Array;
  /** States that occur within rules that are called. */
  readonly #called: Uint8Array;
  readonly #verdicts = new Map<number, Verdict>();
  #memory = 0;

  // What the program may be doing, stacks counted from where the walk began: positions are a state and a stack each. A stack
  // here is all those that have the same on top: what that is, the stacks below it, how high it is at most, how much
  // deeper it may have to become.
  readonly #top: number[] = [NONE];
  readonly #below: (readonly number[])[] = [[]];
  readonly #height: number[] = [0];
  readonly #reach: number[] = [0];
  readonly #stacks = new Map<string, number>();
  // Sets of positions: states and stacks in turn; whether the bottom may be reached with nothing; how much deeper the stack must become.
  readonly #sets: Int32Array[] = [];
  readonly #leaves: boolean[] = [];
  readonly #reaches: number[] = [];
  readonly #numbers = new Map<number | string, number>();
  /** A row of each set: for each class of bytes, where the row of the next set begins, perhaps + LEAVES or DEEPER; or DEAD, or UNKNOWN. */
  #table: Int32Array<ArrayBufferLike>;
  readonly #width: number;
  /** The class of the byte that leads to each node of the trie. */
  readonly #classes: Uint8Array;

  // Where a walk puts what it finds.
  readonly #bits: Uint32Array;
  readonly #path = new Int32Array(1026);
  #deepest = 0;

  constructor(program: Program, trie: TokenTrie, ends: readonly number[]) {
    this.program = program;
    this.trie = trie;
    this.words = (trie.size + 31) >>> 5;
    this.ends = new Uint32Array(this.words);
    for (const id of ends) this.ends[id >>> 5] |= 1 << (id & 31);
    this.#bits = new Uint32Array(this.words);
    const { final, next, classes, calls, classOf } = program;
    this.#width = (classes + SPECIAL) & ~SPECIAL;
    this.#table = new Int32Array(this.#width * 64);
    this.#classes = trie.label.map((byte) => classOf[byte]);
    this.#called = this.#findCalled();
    this.bare = final.map((ends, state) => {
      if (!ends || calls[state] < calls[state + 1]) return 0;
      return Number(next.subarray(state * classes, (state + 1) * classes).every((target) => target === NONE));
    });
  }

  #findCalled(): Uint8Array {
    const { next, final, classes, calls, callees, returns } = this.program;
    const called = new Uint8Array(final.length);
    const waiting = new Set<number>(callees);
    for (const state of waiting) {
      called[state] = 1;
      for (let c = 0; c < classes; c++) if (next[state * classes + c] !== NONE) waiting.add(next[state * classes + c]);
      for (let i = calls[state]; i < calls[state + 1]; i++) if (returns[i] !== NONE) waiting.add(returns[i]);
    }
    return called;
  }

  /** The verdict for a state of which nothing else is known. */
  verdict(state: number): Verdict {
    let found = this.#verdicts.get(state);
    if (!found) {
      this.#tidy();
      found = this.#judge(state, undefined);
      this.#verdicts.set(state, found);
    }
    return found;
  }

  /** The verdict when also `top` is known to be next on the stack. */
  under(verdict: Verdict, top: number): Verdict {
    let found = verdict.under.get(top);
    if (!found) {
      found = this.#judge(top, verdict);
      verdict.under.set(top, found);
    }
    return found;
  }

  /** Walks on from the exits of a verdict, or from the root of the trie. */
  #judge(state: number, upper: Verdict | undefined): Verdict {
    const { ends, words } = this;
    const start = this.#set([state, BOTTOM]);
    const bits = this.#bits.fill(0);
    this.#deepest = Math.max(this.#reaches[start], upper?.reach ?? 0);
    upper?.add(bits, true);
    // Below the outermost rule there is nothing that could follow it.
    const called = this.#called[state] === 1;
    const exits: number[] = [];
    for (const node of upper?.exits ?? [0]) {
      if (this.#leaves[start] && called) exits.push(node);
      this.#walk(node, start, called ? exits : undefined);
    }
    // Nodes of several walks may be below each other.
    const left = Uint32Array.from(upper && upper.exits.length > 1 ? [...new Set(exits)].sort((a, b) => a - b) : exits);
    let count = 0;
    for (let i = 0; i < words; i++) {
      bits[i] &= ~ends[i];
      count += ones(bits[i]);
    }
    // So that a stack of many that may all end here needs no more than one verdict.
    if (upper && count === upper.count && this.#deepest === upper.reach && equal(left, upper.exits)) return upper;
    const many = count * 2 > words;
    const verdict = new Verdict(
      count,
      many ? bits.slice() : undefined,
      many ? undefined : members(bits, count),
      left,
      this.#deepest,
    );
    this.#memory += 200 + (verdict.bits ?? verdict.ids!).byteLength + left.byteLength;
    return verdict;
  }

  /** Everything below a node, beginning there with a set of positions. */
  #walk(from: number, start: number, exits: number[] | undefined): void {
    const { depth, skip, first } = this.trie;
    const classes = this.#classes;
    const path = this.#path;
    let table = this.#table;
    const special = exits ? SPECIAL : DEEPER;
    const end = skip[from];
    path[depth[from]] = start * this.#width;
    // Tokens of nodes that are allowed, one after another, are marked together.
    let run = first[from + 1];
    for (let node = from + 1; node < end; ) {
      const level = depth[node];
      const row = path[level - 1];
      let to = table[row + classes[node]];
      if (to < 0) {
        if (to === UNKNOWN) {
          to = this.#step(row / this.#width, classes[node]);
          table = this.#table;
        }
        if (to === DEAD) {
          if (run < first[node]) this.#mark(run, first[node]);
          node = skip[node];
          run = first[node];
          continue;
        }
      }
      path[level] = to & ~SPECIAL;
      if (to & special) {
        this.#deepest = Math.max(this.#deepest, this.#reaches[(to & ~SPECIAL) / this.#width]);
        if (to & LEAVES && skip[node] > node + 1) exits?.push(node);
      }
      node++;
    }
    if (run < first[end]) this.#mark(run, first[end]);
  }

  #mark(from: number, to: number): void {
    const { ids } = this.trie;
    const bits = this.#bits;
    for (let i = from; i < to; i++) bits[ids[i] >>> 5] |= 1 << (ids[i] & 31);
  }

  #tidy(): void {
    if (this.#memory > MEMORY) {
      this.#verdicts.clear();
      this.#memory = 0;
    }
    if (this.#sets.length < KEPT && this.#top.length < KEPT) return;
    for (const list of [this.#sets, this.#leaves, this.#reaches]) list.length = 0;
    for (const list of [this.#top, this.#below, this.#height, this.#reach]) list.length = 1;
    this.#stacks.clear();
    this.#numbers.clear();
  }

  /** The number of the stack with `top` on stacks. */
  #stack({ top, below }: Pushed): number {
    const numbers = [...new Set([...below].map((stack) => (typeof stack === "number" ? stack : this.#stack(stack))))];
    const key = `${top} ${numbers.sort((a, b) => a - b)}`;
    let stack = this.#stacks.get(key);
    if (stack === undefined) {
      const height = Math.max(...numbers.map((number) => this.#height[number]));
      stack = this.#top.push(top) - 1;
      this.#below.push(numbers);
      this.#height.push(height + 1);
      this.#reach.push(Math.max(height + this.program.need[top], ...numbers.map((number) => this.#reach[number])));
      this.#stacks.set(key, stack);
    }
    return stack;
  }

  /** The number of a set of positions, ascending by stack, then state. */
  #set(positions: number[]): number {
    const key = positions.length === 2 ? positions[0] + positions[1] * 0x10000 : positions.join();
    let number = this.#numbers.get(key);
    if (number !== undefined) return number;
    if (this.#sets.length > LARGEST)
      throw excess("the grammar is so ambiguous that tokens have too many readings", LARGEST);
    const { final, need } = this.program;
    let reach = 0;
    const ends: number[] = [];
    for (let i = 0; i < positions.length; i += 2) {
      const [state, stack] = [positions[i], positions[i + 1]];
      reach = Math.max(reach, this.#height[stack] + need[state], this.#reach[stack]);
      if (final[state]) ends.push(stack);
    }
    const ended = new Set(ends);
    for (const stack of ended) if (final[this.#top[stack]]) for (const below of this.#below[stack]) ended.add(below);
    const leaves = ended.has(BOTTOM);
    number = this.#sets.push(Int32Array.from(positions)) - 1;
    const row = number * this.#width;
    if (row + this.#width > this.#table.length) {
      const larger = new Int32Array(this.#table.length * 2);
      larger.set(this.#table);
      this.#table = larger;
    }
    this.#table.fill(UNKNOWN, row, row + this.#width);
    this.#leaves.push(leaves);
    this.#reaches.push(reach);
    this.#numbers.set(key, number);
    return number;
  }

  /** Finds out where a set leads with a class of bytes. */
  #step(set: number, c: number): number {
    const found = this.#after(this.#sets[set], c);
    const at = set * this.#width + c;
    if (found.length === 0) {
      this.#table[at] = DEAD;
      return DEAD;
    }
    const number = this.#set(found);
    const to = number * this.#width + (this.#leaves[number] ? LEAVES : 0) + (this.#reaches[number] ? DEEPER : 0);
    this.#table[at] = to;
    return to;
  }

  #after(positions: Int32Array, c: number): number[] {
    const { next, classes, final, calls, callees, returns } = this.program;
    const found = new Map<number | Pushed, Set<number>>();
    const pushed = new Map<number, Pushed>();
    const seen = new Map<number | Pushed, Set<number>>();
    const waiting: [state: number, stack: number | Pushed][] = [];
    // Bytes are taken when all is known that is below each stack.
    const reached: [state: number, stack: number | Pushed][] = [];
    for (let i = 0; i < positions.length; i += 2) waiting.push([positions[i], positions[i + 1]]);
    const pop = (stack: number | Pushed, visit: (state: number, stack: number | Pushed) => void): void => {
      if (typeof stack !== "number") for (const below of stack.below) visit(stack.top, below);
      else for (const below of this.#below[stack]) visit(this.#top[stack], below);
    };
    const reach = (state: number, stack: number | Pushed): void => {
      if (this.bare[state] && stack !== BOTTOM) pop(stack, reach);
      else if (add(found, state, stack) && found.get(stack)!.size + found.size > LIMITS.readings) throw tooAmbiguous();
    };
    for (let position = waiting.pop(); position; position = waiting.pop()) {
      const [state, stack] = position;
      if (!add(seen, state, stack)) continue;
      for (let i = calls[state]; i < calls[state + 1]; i++) {
        const [callee, after] = [callees[i], returns[i]];
        if (after === NONE) {
          waiting.push([callee, stack]);
          continue;
        }
        const key = callee * 0x10000 + after;
        let above = pushed.get(key);
        if (!above) {
          above = { top: after, below: new Set() };
          pushed.set(key, above);
          waiting.push([callee, above]);
        }
        above.below.add(stack);
      }
      if (final[state]) pop(stack, (after, below) => waiting.push([after, below]));
      const target = next[state * classes + c];
      if (target !== NONE) reached.push([target, stack]);
    }
    for (const [state, stack] of reached) reach(state, stack);
    const after: [state: number, stack: number][] = [];
    for (const [stack, states] of found) {
      const number = typeof stack === "number" ? stack : this.#stack(stack);
      for (const state of states) after.push([state, number]);
    }
    return after.sort(([s, a], [t, b]) => a - b || s - t).flat();
  }
}

/** What a rule was called with, while it is found out by how many. */
interface Pushed {
  readonly top: number;
  readonly below: Set<number | Pushed>;
}

/** Whether it was not there yet. */
export function add<K>(found: Map<K, Set<number>>, state: number, stack: K): boolean {
  const states = found.get(stack);
  if (!states) found.set(stack, new Set([state]));
  else if (states.has(state)) return false;
  else states.add(state);
  return true;
}

export const tooAmbiguous = () =>
  excess("the grammar is so ambiguous that too many readings of the text are open", LIMITS.readings);

const equal = (a: Uint32Array, b: Uint32Array): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i]);

/** How many bits of a word are set. */
export function ones(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** The numbers of the bits that are set. */
function members(words: Uint32Array, count: number): Uint32Array {
  const found = new Uint32Array(count);
  for (let word = 0, at = 0; word < words.length; word++)
    for (let rest = words[word]; rest; rest &= rest - 1) found[at++] = word * 32 + 31 - Math.clz32(rest & -rest);
  return found;
}
