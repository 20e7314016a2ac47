/** A generation: from options to what the engine draws with, and from its tokens to a stream of text. */

import {
  booleanOption,
  checkOptions,
  isRecord,
  type Names,
  numberOption,
  optionsOf,
  shown,
  tokenIds,
} from "./checks.ts";
import type { Constraint } from "./engine/constraints.ts";
import type { Listener, Running } from "./engine/host.ts";
import type { FinishReason, Guessed } from "./engine/protocol.ts";
import type { Sampling } from "./engine/sampler.ts";
import { MOST_ALTERNATIVES, readScores, type Score } from "./engine/scores.ts";
import { RwkvError } from "./errors.ts";
import { SAMPLING_NAMES, type SamplingOptions, samplingOf, type Vocabulary } from "./sampling.ts";
import { type Part, PartStream } from "./text/parts.ts";
import type { Tokenizer } from "./text/tokenizer.ts";
import { utf8 } from "./text/utf8.ts";

/** How to draw tokens, and when to end. */
export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate, from 1. Default 256. */
  maxTokens?: number;
  /** Most milliseconds, from 1, reading the prompt included. Default: no limit. */
  maxTime?: number;
  /** Tokens that end the text without being part of it. Default: the vocabulary's end-of-text tokens. */
  stopTokens?: readonly number[];
  /** Strings that end the text without being part of it, wherever tokens begin and end. At most 64, of at most 4096 bytes. */
  stop?: string | readonly string[];
  /** The text follows a grammar in GBNF, llama.cpp's notation, from its rule `root`. docs/constraints.md says more of this and what follows. */
  grammar?: string;
  /** The whole text matches a regular expression, ECMAScript's with the flag `u`. */
  regex?: string;
  /** The text is JSON that a JSON schema accepts. */
  schema?: object | boolean;
  /** Occur nowhere in the text. */
  bannedPhrases?: readonly string[];
  /** Says how likely each token was, and the so many likeliest instead of it, 0 to 20. Default: nothing of that. */
  logprobs?: number;
  /** The prompt's tokens come first, as parts of their own; with `logprobs`, with theirs. Default false. */
  echo?: boolean;
  /** Guesses tokens and checks several at once: the same text, perhaps sooner. docs/speculation.md says when. */
  speculate?: SpeculateOptions;
  /** Stops the generation; what waits for it is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** Their names. */
export const GENERATE_NAMES: Names<GenerateOptions> = {
  ...SAMPLING_NAMES,
  maxTokens: 1,
  maxTime: 1,
  stopTokens: 1,
  stop: 1,
  grammar: 1,
  regex: 1,
  schema: 1,
  bannedPhrases: 1,
  logprobs: 1,
  echo: 1,
  speculate: 1,
  signal: 1,
};

/** Where guesses come from: one of `lookup` and `draft`. */
export interface SpeculateOptions {
  /** From the prompt and the text so far: what followed the last so many tokens when they came before, 1 to 16. */
  lookup?: number;
  /** From a smaller model of the same vocabulary, or from a session of one that stands where this one does, and follows it. */
  draft?: Drafter;
  /** Most tokens that are guessed at a time, 1 to 16. Default 4. */
  tokens?: number;
}

/** What can guess for a model: another model, or a session of one. */
export interface Drafter {
  /** @internal */
  drafter(): unknown;
}

/** @internal What a request for a generation says beside the prompt, and the strings that end it. */
export interface Wanted {
  sampling: Sampling;
  maxTokens: number;
  maxTime: number;
  stopTokens: readonly number[];
  constraint?: Constraint;
  scores?: { top: number; prompt: boolean };
  speculate?: { tokens: number; lookup?: number; drafted?: boolean };
}

export interface GenerationResult {
  /** "length": after `maxTokens`; "stop": at what `stop` says, or where a constraint allows nothing more; "time": after `maxTime`. */
  readonly finishReason: FinishReason;
  /** What ended the text: the token, or the string. */
  readonly stop?: { readonly token: number } | { readonly text: string };
  /** Tokens of the prompt, and of the text. */
  readonly promptTokens: number;
  /** With a `prefixCache`: how many of the prompt's did not have to be read. */
  readonly cachedTokens?: number;
  readonly tokens: number;
  /** With `logprobs`: that of the text, the sum over its tokens. */
  readonly logprob?: number;
  /** With `speculate`: how many tokens were guessed and checked, and how many of them were right. */
  readonly guessed?: { readonly proposed: number; readonly accepted: number };
  /** The seed that was used. */
  readonly seed: bigint;
}

const MOST_STOPS = 64;
const LONGEST_STOP = 4096;
/** Tokens that a generation may be ahead of its reader. */
const WINDOW = 64;
/** Tokens read after which the engine hears of it. */
const NEWS = 16;

/** Checks the options; throws `RwkvError` "input" that names the one at fault and its range. */
export function wantedOf(options: GenerateOptions, vocabulary: Vocabulary, eos: readonly number[]): Wanted {
  const { maxTokens, maxTime, stopTokens = eos, logprobs, echo } = options;
  const alternatives = { low: 0, high: MOST_ALTERNATIVES, integer: true };
  const top = Math.min(numberOption("logprobs", logprobs, 0, alternatives), vocabulary.size);
  const prompt = booleanOption("echo", echo);
  return {
    scores: logprobs === undefined ? undefined : { top, prompt },
    maxTokens: numberOption("maxTokens", maxTokens, 256, { low: 1, high: 2 ** 31 - 1, integer: true }),
    maxTime: numberOption("maxTime", maxTime, Number.POSITIVE_INFINITY, { low: 1, high: Number.POSITIVE_INFINITY }),
    stopTokens: tokenIds("stopTokens", "a stop token", stopTokens, vocabulary.size),
    sampling: samplingOf(options, vocabulary),
    speculate: speculateOf(options.speculate),
  };
}

/** Refuses what is no option of `generate`. Throws `RwkvError` "input". */
export function checkGenerate(options: GenerateOptions): void {
  if (isRecord(options) && ("n" in options || "bestOf" in options)) {
    throw new RwkvError(
      "input",
      "n and bestOf are options of candidates, which gives several answers; generate gives one.",
    );
  }
  checkOptions("generate", options, GENERATE_NAMES);
}

function speculateOf(options: SpeculateOptions | undefined): Wanted["speculate"] {
  const given = optionsOf("speculate", options, ["lookup", "draft", "tokens"]);
  if (!given) return undefined;
  const few = { low: 1, high: 16, integer: true };
  if ((given.lookup === undefined) === (given.draft === undefined)) {
    throw new RwkvError("input", "speculate needs one of lookup and draft: where the guesses come from.");
  }
  return {
    tokens: numberOption("speculate.tokens", given.tokens, 4, few),
    ...(given.draft === undefined
      ? { lookup: numberOption("speculate.lookup", given.lookup, 3, few) }
      : { drafted: true }),
  };
}

/** @internal Whether the text must be like something. */
export const isConstrained = ({ grammar, regex, schema, bannedPhrases }: GenerateOptions): boolean =>
  [grammar, regex, schema, bannedPhrases].some((one) => one !== undefined);

/** The stop strings as they are looked for. Throws `RwkvError` "input". */
export function stopsOf({ stop = [] }: GenerateOptions): { text: string; bytes: Uint8Array }[] {
  const stops: unknown = typeof stop === "string" ? [stop] : stop;
  if (!Array.isArray(stops) || stops.length > MOST_STOPS) {
    const what = Array.isArray(stops) ? `${stops.length} of them` : shown(stop);
    throw new RwkvError("input", `stop must be a string, or an array of at most ${MOST_STOPS} strings, not ${what}.`);
  }
  return Array.from(stops, (text: unknown, i) => {
    if (typeof text !== "string") {
      throw new RwkvError("input", `stop must be strings; item ${i} is ${shown(text)}.`);
    }
    const bytes = utf8(text);
    if (bytes.length > 0 && bytes.length <= LONGEST_STOP) return { text, bytes };
    throw new RwkvError("input", `A stop string has 1 to ${LONGEST_STOP} bytes of UTF-8, not ${bytes.length}.`);
  });
}

/** @internal What a generation is made of. */
export interface Setup {
  /** Starts it. `until`: how many tokens it may generate before it is told to go on. */
  start(listener: Pick<Listener, "tokens" | "scores" | "ended">, until: number, signal: AbortSignal): Promise<Running>;
  readonly tokenizer: Tokenizer | undefined;
  readonly prompt: Uint32Array;
  /** Whether the prompt's tokens come as parts, too. */
  readonly echo: boolean;
  readonly wanted: Wanted;
  readonly stops: readonly { text: string; bytes: Uint8Array }[];
  /** What stops it: its caller, the end of its session. */
  readonly signals: readonly AbortSignal[];
  /** Whether anybody sees where its session stands afterwards. */
  readonly keeps: boolean;
  /** Told how many generated tokens the reader has got. */
  onRead(count: number): void;
}

type Finish = Pick<GenerationResult, "finishReason" | "stop">;

/**
 * A running generation: iterate it once for its parts, or take its whole text.
 *
 * It runs ahead of who reads it by some tokens, then it waits. Leaving the loop early stops it and leaves the session exactly behind
 * the last part that was read; an abort does the same. Asking for `text()` or `result` lets it run to its end.
 */
export class Generation implements AsyncIterable<Part> {
  /** The seed in use: with it, the same prompt and options give the same text again. */
  readonly seed: bigint;
  /** @internal Resolves when the session is free again, however it went. */
  readonly over: Promise<void>;
  readonly #setup: Setup;
  readonly #parts: PartStream;
  /** Stops it before the engine has it. */
  readonly #cancel = new AbortController();
  readonly #result: Promise<GenerationResult>;
  #resolve!: (result: GenerationResult) => void;
  #reject!: (error: unknown) => void;
  #running: Running | undefined;
  #settling = false;
  #settled = false;
  #finish: Finish | undefined;
  #failure: { error: unknown } | undefined;
  /** Generated tokens that came, and how many of them the reader has got. */
  #heard = 0;
  #read = 0;
  /** How many of the prompt's tokens came. */
  #echoed = 0;
  #guessed: Guessed = [0, 0];
  /** Once it is finished: how many of them belong to the text, and what is left of the next one where a stop string cut it. */
  #whole = 0;
  #rest: Uint32Array = new Uint32Array();
  /** What the engine was told last. */
  #told = { sure: 0, until: WINDOW };
  #taken = false;
  #reading = false;
  #left = false;
  /** Whether it is to run to its end, read or not. */
  #wanted = false;
  #wake: (() => void) | undefined;

  /** @internal */
  constructor(setup: Setup) {
    const { wanted, stops, tokenizer, signals } = setup;
    this.#setup = setup;
    this.seed = (BigInt(wanted.sampling.seed[1]) << 32n) | BigInt(wanted.sampling.seed[0]);
    this.#parts = new PartStream(
      tokenizer && ((token) => tokenizer.bytes(token)),
      stops.map(({ bytes }) => bytes),
    );
    this.#result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever iterates hears of a failure there; nobody has to look at `result`.
    this.#result.catch(() => {});
    this.over = this.#run(signals);
  }

  /** What came of it, once it has ended. Asking for it lets it run to its end. Rejects as the iteration does. */
  get result(): Promise<GenerationResult> {
    this.#wanted = true;
    this.#advance();
    return this.#result;
  }

  /** The whole text, when it is complete. */
  async text(): Promise<string> {
    this.#take();
    await this.result;
    let text = "";
    for (let part = this.#parts.take(); part; part = this.#parts.take()) text += part.text;
    return text;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Part, void, undefined> {
    this.#take();
    this.#reading = true;
    try {
      for (let part = await this.#next(); part; part = await this.#next()) yield part;
    } finally {
      await this.#leave();
    }
  }

  /** The text as a stream of strings, for a `Response` through a `TextEncoderStream`. */
  toReadableStream(): ReadableStream<string> {
    const parts = this[Symbol.asyncIterator]();
    const source: UnderlyingDefaultSource<string> = {
      async pull(controller) {
        for (;;) {
          const { done, value } = await parts.next();
          if (done) return controller.close();
          if (value.text) return controller.enqueue(value.text);
        }
      },
      cancel: async () => {
        // Before the iterator, which is deaf while it waits for the next part.
        await this.#leave();
        await parts.return();
      },
    };
    // Nothing is read ahead: what the stream's reader has not got has not been read.
    return new ReadableStream(source, { highWaterMark: 0 });
  }

  // --- The reader's side ------------------------------------------------------------------------------------------------

  #take(): void {
    if (this.#taken) throw new RwkvError("input", "A generation can be read only once.");
    this.#taken = true;
  }

  async #next(): Promise<Part | undefined> {
    for (;;) {
      if (this.#left) return undefined;
      const part = this.#parts.take();
      if (part) {
        if (!part.prompt) this.#setup.onRead(++this.#read);
        this.#advance();
        return part;
      }
      if (this.#settled) {
        if (this.#failure) throw this.#failure.error;
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The reader wants no more. */
  async #leave(): Promise<void> {
    this.#left = true;
    this.#wake?.();
    this.#stop(new RwkvError("closed", "The generation was left before its end."));
    await this.over;
  }

  // --- The engine's side ------------------------------------------------------------------------------------------------

  async #run(signals: readonly AbortSignal[]): Promise<void> {
    try {
      await this.#work(signals);
    } catch (error) {
      this.#failure ??= { error };
      // What came before is there to be read.
      this.#parts.end();
    }
    this.#settled = true;
    if (this.#failure) this.#reject(this.#failure.error);
    else this.#resolve(this.#outcome());
    this.#wake?.();
  }

  async #work(signals: readonly AbortSignal[]): Promise<void> {
    const stops = signals.map((signal) => ({ signal, stop: () => this.#stop(signal.reason) }));
    try {
      for (const { signal, stop } of stops) {
        signal.throwIfAborted();
        signal.addEventListener("abort", stop);
      }
      const { wanted } = this.#setup;
      if (!wanted.scores) this.#echoAll();
      const listener = {
        tokens: (ids: Uint32Array, scores?: Uint32Array, guessed?: Guessed) => {
          if (guessed) this.#guessed = guessed;
          this.#hear(ids, scores);
        },
        scores: (first: number, scores: Uint32Array) => this.#hearPrompt(first, scores),
        ended: (finish: Finish) => this.#end(finish),
      };
      this.#running = await this.#setup.start(listener, WINDOW, this.#cancel.signal);
      if (this.#failure) this.#settle(this.#read, true);
      this.#advance();
      await this.#running.done;
    } finally {
      for (const { signal, stop } of stops) signal.removeEventListener("abort", stop);
    }
  }

  /** Makes parts of the prompt's tokens up to number `end`; those with a score come in order. */
  #echo(end: number, score?: Score): void {
    while (this.#echoed < end) {
      const last = this.#echoed === end - 1;
      this.#parts.echo(this.#setup.prompt[this.#echoed++]!, last ? score : undefined);
    }
  }

  /** Those of the prompt's tokens that no score came for, at the latest when something follows them. */
  #echoAll(): void {
    const { echo, prompt } = this.#setup;
    if (echo) this.#echo(prompt.length);
  }

  #hearPrompt(first: number, words: Uint32Array): void {
    if (this.#failure) return;
    let i = first;
    for (const score of readScores(words, this.#setup.wanted.scores!.top)) this.#echo(++i, score);
    this.#advance();
  }

  #hear(ids: Uint32Array, words?: Uint32Array): void {
    if (this.#finish || this.#failure) return;
    this.#echoAll();
    const scores = words && readScores(words, this.#setup.wanted.scores!.top);
    for (const token of ids) {
      this.#heard++;
      const found = this.#parts.push(token, scores?.next().value);
      if (!found) continue;
      this.#whole = found.keep;
      this.#rest = this.#encode(found.rest);
      this.#finish = { finishReason: "stop", stop: { text: this.#setup.stops[found.stop]!.text } };
      this.#parts.end(this.#rest);
      break;
    }
    this.#advance();
  }

  #end(finish: Finish): void {
    if (this.#finish || this.#failure) return;
    this.#echoAll();
    this.#finish = finish;
    this.#whole = this.#heard;
    this.#parts.end();
    this.#advance();
  }

  /** What is left of a token in front of a stop string. What the vocabulary cannot express, half a character, is left out. */
  #encode(bytes: Uint8Array): Uint32Array {
    if (bytes.length === 0) return this.#rest;
    try {
      return this.#setup.tokenizer!.encode(bytes);
    } catch {
      return this.#rest;
    }
  }

  /** Tells the engine what it may do now, and the reader that there is news. */
  #advance(): void {
    this.#wake?.();
    if (!this.#running || this.#settling) return;
    if (!this.#finish) {
      this.#pace(this.#wanted ? Number.POSITIVE_INFINITY : this.#read + this.#parts.held + WINDOW);
      return;
    }
    const total = this.#whole + this.#rest.length;
    const got = this.#reading ? !this.#parts.waiting : this.#wanted;
    if (got || total === 0) {
      this.#settle(total);
      return;
    }
    // It may be at work behind a stop string.
    this.#pace(0);
    // Who reads on need not have come to the end for this.
    if (this.#wanted) this.#resolve(this.#outcome());
  }

  #pace(until: number): void {
    const { keeps, stops } = this.#setup;
    const read = keeps ? this.#read : Number.POSITIVE_INFINITY;
    // Without stop strings only the reader can take it back, and who wants all of it will hardly do so.
    const sure = stops.length > 0 ? this.#parts.sure : this.#wanted ? Number.POSITIVE_INFINITY : read;
    const told = this.#told;
    if (until >= told.until && !far(told.until, until) && !far(told.sure, sure)) return;
    this.#told = { sure: Math.max(read, sure), until };
    this.#running!.pace(read, this.#told.sure, until);
  }

  /** Ends it, with the session behind the first `count` tokens of the text. */
  #settle(count: number, hurry = false): void {
    if (this.#settling) return;
    this.#settling = true;
    const keep = this.#finish ? Math.min(count, this.#whole) : count;
    this.#running!.settle(this.#setup.keeps ? keep : undefined, this.#rest.subarray(0, count - keep), hurry);
  }

  /** Ends it where the reader is, if it has not come to its end. */
  #stop(error: unknown): void {
    if (this.#failure || this.#settling || this.#settled) return;
    this.#failure = { error };
    this.#parts.drop();
    if (this.#running) this.#settle(this.#read, true);
    else this.#cancel.abort(error);
  }

  #outcome(): GenerationResult {
    return {
      ...this.#finish!,
      promptTokens: this.#setup.prompt.length,
      tokens: this.#whole + this.#rest.length,
      ...(this.#running?.cached !== undefined && { cachedTokens: this.#running.cached }),
      ...(this.#setup.wanted.speculate && { guessed: { proposed: this.#guessed[0], accepted: this.#guessed[1] } }),
      ...(this.#setup.wanted.scores && { logprob: this.#parts.logprob }),
      seed: this.seed,
    };
  }
}

/** Whether a number has moved so far from what was said that it is worth a message. */
const far = (said: number, now: number): boolean => now >= said + NEWS && now !== said;
