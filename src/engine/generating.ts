/**
 * A running generation: its sampler, where it can be taken back to, the tokens that the host has not heard of, and the guesses that are
 * checked along the way.
 *
 * A guess is what may come next. Guesses are fed together with the token that is due, each into a state of its own, and every position's
 * token is drawn from its logits as it would have been anyway, with the same seed and step. As long as a drawn token is what was guessed,
 * the next position counts too; the state behind the last one that does is where the session goes on. So guesses change how many tokens
 * a step gives, and nothing else.
 */

import { SAMPLE_NOTHING, SAMPLER_STEP } from "../../assembly/ops.ts";
import type { ErrorCode } from "../errors.ts";
import type { Matcher } from "../grammar/matcher.ts";
import type { Constraints } from "./constraints.ts";
import type { Heap } from "./heap.ts";
import type { Kernels } from "./kernels.ts";
import { Lookup } from "./lookup.ts";
import type { Finish, Reply, Request } from "./protocol.ts";
import { samplerMask, writeSampling } from "./sampler.ts";
import { scoreWords } from "./scores.ts";
import type { Slots } from "./slots.ts";
import type { EngineSpec } from "./spec.ts";
import { Trail } from "./trail.ts";

/** What cannot go on, and why. */
export interface Failure {
  code: ErrorCode;
  message: string;
}

/** What a generation needs of its engine. */
export interface Room {
  readonly spec: EngineSpec;
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
  readonly heap: Heap;
  readonly slots: Slots;
  readonly constraints: Constraints;
}

/** Scores of tokens that were fed and that the host has not heard of: from token `first` on. */
export interface Scores {
  readonly top: number;
  first: number;
  words: number[];
}

export const NUMBERS: Failure = {
  code: "engine",
  message: "The model's logits are not numbers: the weights are damaged, or the state overflowed.",
};
const NOTHING: Failure = {
  code: "input",
  message:
    "No token is left to choose from: bannedTokens and logitBias, or what they leave of a grammar, forbid all of them.",
};

export class Generating {
  readonly kind = "generate";
  readonly wanted: Request & { kind: "generate" };
  readonly trail: Trail;
  /** Of the prompt's tokens, if they are wanted. */
  readonly scored: Scores | undefined;
  /** Whether the prompt has been read. */
  begun: boolean;
  /** How many tokens it may generate before it waits for its reader. */
  until: number;
  ended: Finish | undefined;
  /** Whether the host knows that it ended. */
  told = false;
  /** Of the rows that a step computed, those that count. */
  right = 0;
  /** The token that was drawn last, to be fed next. */
  next: number | undefined;
  readonly #room: Room;
  readonly #deadline: number;
  readonly #lookup: Lookup | undefined;
  /** What this step's rows go on with. */
  #guess: readonly number[] = [];
  /** How many may be looked up at a time. */
  readonly #size: number;
  #missed = false;
  #proposed = 0;
  #accepted = 0;
  /** What another model proposed; undefined as long as nothing came. */
  #proposal: readonly number[] | undefined;
  /** Address of the sampler's area, 0 while there is none. */
  #sampler = 0;
  /** Follows the text, if that must be like something. */
  #matcher: Matcher | undefined;
  /** How many generated tokens the session has taken in. */
  #fed = 0;
  #out: number[] = [];
  #words: number[] = [];

  /** `slot`: the state in front of it, if it has no prompt. */
  constructor(room: Room, wanted: Request & { kind: "generate" }, slot: number) {
    this.#room = room;
    this.wanted = wanted;
    this.until = wanted.until;
    this.#deadline = performance.now() + wanted.maxTime;
    this.trail = new Trail(room.slots, wanted.keeps);
    this.begun = wanted.tokens.length === 0;
    if (this.begun) this.trail.mark(slot, 0);
    const { scores, speculate, tokens } = wanted;
    this.scored = scores?.prompt ? { top: scores.top, first: 0, words: [] } : undefined;
    this.#lookup = speculate?.lookup ? new Lookup(speculate.lookup) : undefined;
    this.#size = speculate?.tokens ?? 0;
    for (const token of wanted.seen ?? tokens) this.#lookup?.push(token);
  }

  /** Whether there is anything to compute for it now. */
  get runs(): boolean {
    if (this.ended) return false;
    if (!this.begun) return true;
    const waits = this.wanted.speculate?.drafted && this.next !== undefined && !this.#proposal;
    return !waits && this.trail.said < this.until;
  }

  /** Before each of its steps: what it takes to draw, and whether its time is over. Throws `RwkvError` "memory", "input". */
  prepare(): void {
    if (performance.now() >= this.#deadline) {
      this.ended = { finishReason: "time" };
      return;
    }
    if (this.#sampler) return;
    const { kernels, memory, heap, spec } = this.#room;
    const { sampling, seen, tokens, constraint, stopTokens } = this.wanted;
    if (constraint) this.#matcher = this.#room.constraints.matcher(constraint, stopTokens);
    this.#sampler = heap.take(spec.samplerBytes);
    writeSampling(kernels, memory, this.#sampler, spec.vocab, sampling);
    if (!sampling.penalizePrompt) return;
    for (const token of seen ?? tokens) kernels.accept(this.#sampler, spec.vocab, token);
  }

  /** Guesses for the rows behind the next token, at most so many. */
  guess(most: number): readonly number[] {
    this.right = 0;
    this.#missed = false;
    const { trail, until, wanted } = this;
    // The last token that may be said need not be guessed: the one before it decides it.
    const room = Math.min(most, until - trail.said - 1, wanted.maxTokens - trail.said - 1);
    this.#guess = [];
    if (room <= 0 || !this.begun) return this.#guess;
    if (this.#proposal) this.#guess = this.#proposal.slice(0, room);
    else if (this.#lookup) this.#guess = this.#lookup.guess(Math.min(this.#size, room));
    return this.#guess;
  }

  /** Another model's proposal came. */
  propose(tokens: readonly number[]): void {
    this.#proposal = tokens;
  }

  /** Draws the token behind row `row` of this step, unless an earlier one already led elsewhere. */
  draw(row: number, logits: number): Failure | undefined {
    if (this.#missed || this.ended) return undefined;
    const { spec, memory, kernels } = this.#room;
    const { wanted, trail } = this;
    this.right = row + 1;
    new Uint32Array(memory.buffer, this.#sampler + SAMPLER_STEP, 1)[0] = trail.said + (wanted.firstStep ?? 0);
    if (this.#matcher?.mask(samplerMask(kernels, memory, this.#sampler, spec.vocab)) === "end") {
      this.#missed = true;
      this.ended = { finishReason: "stop" };
      return undefined;
    }
    const token = kernels.sample(logits, spec.vocab, this.#sampler, spec.samplerWork);
    if (token < 0) {
      this.#missed = true;
      return token === SAMPLE_NOTHING ? NOTHING : NUMBERS;
    }
    kernels.accept(this.#sampler, spec.vocab, token);
    const guessed = this.#guess[row];
    this.#missed = token !== guessed;
    if (guessed !== undefined) {
      this.#proposed++;
      if (!this.#missed) this.#accepted++;
    }
    if (wanted.stopTokens.includes(token)) {
      this.ended = { finishReason: "stop", stop: { token } };
      return undefined;
    }
    this.#matcher?.accept(token);
    if (wanted.scores) this.#words.push(...scoreOf(this.#room, logits, token, wanted.scores.top));
    trail.say(token);
    this.#lookup?.push(token);
    this.#out.push(token);
    this.next = token;
    this.#proposal = undefined;
    if (trail.said === wanted.maxTokens) this.ended = { finishReason: "length" };
    return undefined;
  }

  /** Its session has moved on to a slot: by `count` tokens of its own, or to the end of the prompt. */
  moved(slot: number, count: number): void {
    if (this.begun) this.#fed += count;
    this.begun = true;
    this.trail.mark(slot, this.#fed);
  }

  /** What the host has not heard of, if anything. */
  news(): Omit<Reply & { kind: "tokens" }, "kind" | "job"> | undefined {
    if (this.#out.length === 0) return undefined;
    const tokens = Uint32Array.from(this.#out);
    const scores = this.wanted.scores && Uint32Array.from(this.#words);
    const guessed = this.wanted.speculate && ([this.#proposed, this.#accepted] as const);
    this.#out = [];
    this.#words = [];
    return { tokens, scores, guessed };
  }

  /** Gives back what it had for itself. */
  release(): void {
    this.trail.drop();
    if (this.#sampler) this.#room.heap.give(this.#sampler, this.#room.spec.samplerBytes);
    this.#sampler = 0;
  }
}

/** A token's score by these logits, as words; its first is NaN if they are no numbers. */
export function scoreOf({ spec, memory, kernels }: Room, logits: number, token: number, top: number): Uint32Array {
  kernels.logprobs(logits, spec.vocab, token, spec.score, top, spec.samplerWork);
  return new Uint32Array(memory.buffer, spec.score, scoreWords(top)).slice();
}
