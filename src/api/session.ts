/** A session: one line of text that a model has taken in, held as its recurrent state. */

import { checkOptions, signalOption } from "../checks.ts";
import type { EngineHost, Listener, Running } from "../engine/host.ts";
import type { Platform } from "../engine/platform.ts";
import type { EngineSpec } from "../engine/spec.ts";
import { RwkvError } from "../errors.ts";
import {
  checkGenerate,
  type GenerateOptions,
  Generation,
  isConstrained,
  stopsOf,
  type Wanted,
  wantedOf,
} from "../generate.ts";
import { decodeState, encodeState, type Identity } from "../model/state.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Candidate, CandidateOptions } from "./candidates.ts";
import type { DraftSource } from "./draft.ts";
import type { ContinuationScore, MeasureOptions } from "./measures.ts";
import type { Places } from "./places.ts";
import type { PrefixCache, Reading } from "./prefix-cache.ts";
import { anyOf } from "./signals.ts";
import { type Chosen, tokenizerOf } from "./tokenizer.ts";

/** Text, or token ids. Text at the very start of a session is preceded by the vocabulary's start token, ids are not. */
export type Prompt = string | readonly number[] | Uint32Array;

/** @internal What a model and its sessions share. */
export interface Shared {
  readonly platform: Platform;
  readonly engine: EngineHost;
  readonly spec: EngineSpec;
  readonly identity: Identity;
  readonly text: Chosen;
  /** The chat template in the weights file. */
  readonly template?: string;
  /** Places in the engine: for sessions that were asked for, for those that something else needs, and for work beside sessions. */
  readonly sessions: Places;
  readonly inner: Places;
  readonly aside: Places;
  /** States behind texts that were read before, if they are kept. */
  readonly cache?: PrefixCache;
}

/**
 * @internal The tokens of a prompt for a session at `position`. Throws `RwkvError` "input" for what is none, for ids that the model
 * does not know, and for text without a tokenizer.
 */
export function tokensOf({ spec, text }: Shared, prompt: Prompt, position: number): Uint32Array {
  const ids = typeof prompt === "string" ? encode(tokenizerOf(text), prompt, position) : prompt;
  if (!Array.isArray(ids) && !(ids instanceof Uint32Array)) {
    throw new RwkvError("input", `A prompt is a string or an array of token ids, not ${typeof ids}.`);
  }
  const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= spec.vocab);
  if (bad >= 0) {
    throw new RwkvError("input", `Token ${bad} of the prompt is ${ids[bad]}; the model knows 0 to ${spec.vocab - 1}.`);
  }
  return Uint32Array.from(ids);
}

function encode(tokenizer: Tokenizer, text: string, position: number): Uint32Array {
  const ids = tokenizer.encode(text);
  if (position > 0 || tokenizer.bos === undefined) return ids;
  const started = new Uint32Array(ids.length + 1);
  started[0] = tokenizer.bos;
  started.set(ids, 1);
  return started;
}

export interface FeedOptions {
  signal?: AbortSignal;
  /** Called as parts of a long text are taken in, with the session's position. */
  onProgress?: (position: number) => void;
}

export class Session {
  readonly #shared: Shared;
  readonly #places: Places;
  readonly #id: number;
  readonly #opened: Promise<unknown>;
  #position: number;
  /** What the session is at, until it is free again; never rejects. */
  #work: Promise<void> | undefined;
  /** Aborted when the session is closed. */
  readonly #closing = new AbortController();
  /** All tokens that it has taken in, where they are known and somebody wants to know: the cache of states. */
  #known: Uint32Array | undefined;
  #closed: Promise<void> | undefined;

  /** @internal Sessions come from `model.session()` and `session.fork()`. `inner`: a place that was waited for. */
  constructor(shared: Shared, from: { bytes?: Uint8Array; session?: Session; inner?: number }) {
    this.#shared = shared;
    const { engine, spec, identity, sessions } = shared;
    if (engine.gone) throw engine.gone;
    const saved = from.bytes === undefined ? undefined : decodeState(from.bytes, identity, spec.state);
    const id = from.inner ?? sessions.take();
    if (id === undefined) {
      throw new RwkvError(
        "memory",
        `${spec.sessions} sessions are open, which is the limit. Close one, or load the model with a larger \`sessions\`.`,
      );
    }
    this.#places = from.inner === undefined ? sessions : shared.inner;
    this.#id = id;
    this.#position = saved?.position ?? from.session?.position ?? 0;
    if (shared.cache) this.#known = from.session ? from.session.#known : saved ? undefined : new Uint32Array();
    this.#opened = saved
      ? engine.request({ kind: "restore", session: id, ...saved }, {}, undefined, [saved.state.buffer])
      : engine.request({ kind: "open", session: id, from: from.session ? from.session.#id : undefined });
    this.#opened.catch(() => {}); // whoever uses the session hears of it
  }

  /** How many tokens the session has taken in. While it is at work this follows at some distance. */
  get position(): number {
    return this.#position;
  }

  /** Takes in text or tokens; resolves to the new position. Aborted, it keeps what was committed: see `position`. */
  async feed(prompt: Prompt, options: FeedOptions = {}): Promise<number> {
    checkOptions<FeedOptions>("feed", options, { signal: 1, onProgress: 1 });
    const tokens = this.#tokens(prompt);
    await this.#ask((signal) => this.#feed(tokens, { fed: options.onProgress }, signal), options.signal);
    return this.#position;
  }

  /** Continues, after an optional prompt. */
  generate(prompt: Prompt = [], options: GenerateOptions = {}): Generation {
    return this.#generate(prompt, options, true);
  }

  /** @internal Generates and closes: nobody sees where the session stands afterwards. */
  generateAndClose(prompt: Prompt, options: GenerateOptions): Generation {
    const generation = this.#generate(prompt, options, false);
    void generation.over.then(() => this.close());
    return generation;
  }

  /** The logits after each of the tokens, which the session takes in: one array of `vocab` numbers per token. */
  async forward(ids: readonly number[] | Uint32Array, options: { signal?: AbortSignal } = {}): Promise<Float32Array[]> {
    checkOptions<typeof options>("forward", options, { signal: 1 });
    const tokens = this.#tokens(ids);
    const logits: Float32Array[] = [];
    const { engine } = this.#shared;
    const listener = this.#heard({ logits: (row) => logits.push(row) });
    await this.#ask(async (signal) => {
      const all = this.#all(tokens);
      const work = engine.request({ kind: "forward", session: this.#id, tokens }, listener, signal);
      await work.finally(() => this.#remember(all));
    }, options.signal);
    return logits;
  }

  /**
   * How likely each of several continuations is, from where the session stands; that does not change. Text is turned into tokens by itself,
   * so it should begin where a token does, mostly with a space.
   */
  async score(continuations: readonly Prompt[], options: MeasureOptions = {}): Promise<ContinuationScore[]> {
    this.#check();
    checkOptions<MeasureOptions>("score", options, { signal: 1 });
    if (!Array.isArray(continuations)) throw new RwkvError("input", "The continuations must be an array of prompts.");
    const tokens = continuations.map((one) => this.#tokens(one));
    return await this.#ask(async (signal) => {
      const { scoreAll } = await import("./measures.ts");
      return scoreAll(this.#shared, this.#id, tokens, { signal });
    }, options.signal);
  }

  /**
   * Several answers to a prompt at once, each with a seed of its own. The session takes in the prompt and stays behind it: feed it the
   * answer that you choose. docs/generate.md says more.
   */
  async candidates(prompt: Prompt, options: CandidateOptions = {}): Promise<Candidate[]> {
    this.#check();
    const tokens = this.#prompt(prompt);
    return await this.#ask(async (signal) => {
      const { candidates, choiceOf } = await import("./candidates.ts");
      const choice = choiceOf(this.#shared, options);
      const cached = await this.#feed(tokens, {}, signal);
      return candidates(this.#shared, this.#id, { prompt: tokens, cached }, choice, { ...options, signal });
    }, options?.signal);
  }

  /** Another session that stands where this one stands. Costs nothing until one of them moves. */
  fork(): Session {
    this.#check();
    return new Session(this.#shared, { session: this });
  }

  /** The state as bytes, for `model.session(bytes)`, now or another day. Works even after the engine has failed. */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    this.#closing.signal.throwIfAborted();
    const { engine, spec, identity } = this.#shared;
    // Asked for at once: what the session does next, closing included, comes after it.
    const asked = engine.dead ? undefined : engine.request({ kind: "save", session: this.#id });
    asked?.catch(() => {}); // heard below
    await this.#opened;
    try {
      const saved = await asked;
      if (saved) return encodeState(identity, spec.state, saved.position!, saved.state!);
    } catch (error) {
      if (!engine.dead) throw error;
    }
    const { state, position } = engine.rescue(this.#id);
    return encodeState(identity, spec.state, position, state);
  }

  /** @internal What guesses for a session of another model. */
  drafter(): DraftSource {
    this.#check();
    return { shared: this.#shared, session: this };
  }

  /** @internal */
  belongsTo(shared: Shared): boolean {
    return shared === this.#shared;
  }

  /** Gives the state's memory back. What the session is at is stopped, and rejected with "closed". */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort(new RwkvError("closed", "The session was closed."));
    // Without anything to wait for, its place is free at once.
    if (this.#work) await this.#work;
    this.#shared.engine.closeSession(this.#id);
    this.#places.give(this.#id);
  }

  #check(): void {
    this.#closing.signal.throwIfAborted();
    // What it is at may not have heard yet that the engine is gone.
    if (this.#work) {
      throw (
        this.#shared.engine.gone ?? new RwkvError("busy", "The session is at work: wait for it, or fork it beforehand.")
      );
    }
  }

  #tokens(prompt: Prompt): Uint32Array {
    return tokensOf(this.#shared, prompt, this.#position);
  }

  /** The tokens of a prompt that something is to follow. */
  #prompt(prompt: Prompt): Uint32Array {
    const tokens = this.#tokens(prompt);
    if (this.#position > 0 || tokens.length > 0) return tokens;
    throw new RwkvError("input", "There is nothing to continue: the session is new and the prompt is empty.");
  }

  #generate(prompt: Prompt, options: GenerateOptions, shown: boolean): Generation {
    const { spec, text } = this.#shared;
    const { tokenizer } = text;
    checkGenerate(options);
    const wanted = wantedOf(options, { size: spec.vocab, tokenizer }, tokenizer?.eos ?? []);
    const stops = stopsOf(options);
    if (stops.length > 0) tokenizerOf(text);
    const tokens = this.#prompt(prompt);
    // What is kept for later has to stand where it says.
    const keeps = shown || this.#known !== undefined;
    let begin = 0;
    const start = async (listener: Listener, until: number, signal: AbortSignal): Promise<Running> => {
      this.#check();
      const starting = this.#opened.then(() => {
        begin = this.#position + tokens.length;
        return this.#start(tokens, options, wanted, { keeps, until }, listener, signal);
      });
      const done = this.#occupy(starting.then((running) => running.done));
      done.catch(() => {}); // whoever awaits `starting` hears of it
      return { ...(await starting), done };
    };
    const onRead = (count: number) => {
      this.#position = begin + count;
    };
    const signals = options.signal ? [options.signal, this.#closing.signal] : [this.#closing.signal];
    return new Generation({
      start,
      onRead,
      tokenizer,
      prompt: tokens,
      echo: options.echo ?? false,
      wanted,
      stops,
      signals,
      keeps,
    });
  }

  async #start(
    tokens: Uint32Array,
    options: GenerateOptions,
    wanted: Wanted,
    terms: { keeps: boolean; until: number },
    listener: Listener,
    signal: AbortSignal,
  ): Promise<Running> {
    signal.throwIfAborted();
    const { engine } = this.#shared;
    const position = this.#position;
    if (isConstrained(options)) {
      const { constraintOf } = await import("./constraint.ts");
      wanted.constraint = await constraintOf(this.#shared, options);
      signal.throwIfAborted();
    }
    const all = this.#all(tokens);
    // Scores of the prompt are to be had by reading it only.
    const reading = wanted.scores?.prompt ? undefined : this.#look(all);
    const { rest = tokens, marks, marked } = reading ?? {};
    const request = { session: this.#id, tokens: rest, seen: reading && tokens, marks, ...terms, ...wanted };
    const begin = (told: Listener) => engine.generate(request, this.#heard({ ...told, marked }));
    const draft = options.speculate?.draft;
    const target = { shared: this.#shared, position, prompt: tokens, wanted };
    const said: number[] = [];
    const hears: Listener = all
      ? {
          ...listener,
          tokens: (ids, scores, guessed) => {
            said.push(...ids);
            listener.tokens?.(ids, scores, guessed);
          },
        }
      : listener;
    let running: Running;
    try {
      running = draft ? await (await import("./draft.ts")).drafted(target, draft, hears, signal, begin) : begin(hears);
    } catch (error) {
      reading?.end();
      throw error;
    }
    if (!all) return running;
    return this.#remembered(running, all, said, reading);
  }

  /** A generation whose tokens the session will know, and whose end the cache, if that was its own. */
  #remembered(running: Running, before: Uint32Array, said: readonly number[], reading: Reading | undefined): Running {
    let all: Uint32Array | undefined;
    let whole = false;
    const done = running.done.then(
      (outcome) => {
        reading?.end();
        this.#remember(all);
        if (whole && this.#known) this.#shared.cache?.keep(this.#id, this.#known);
        return outcome;
      },
      (error) => {
        reading?.end();
        this.#known = undefined;
        throw error;
      },
    );
    return {
      ...running,
      done,
      cached: reading?.cached ?? 0,
      settle: (keep, then = new Uint32Array(), hurry = false) => {
        all = joined(before, Uint32Array.from([...said.slice(0, keep), ...then]));
        whole = !hurry;
        running.settle(keep, then, hurry);
      },
    };
  }

  /** Takes in tokens; answers how many of them did not have to be read, with a cache. */
  async #feed(tokens: Uint32Array, listener: Listener, signal: AbortSignal): Promise<number | undefined> {
    const { engine } = this.#shared;
    const all = this.#all(tokens);
    const reading = this.#look(all);
    const { rest = tokens, marks, marked } = reading ?? {};
    try {
      const request = { kind: "feed", session: this.#id, tokens: rest, marks } as const;
      await engine.request(request, this.#heard({ ...listener, marked }), signal);
    } finally {
      reading?.end();
      this.#remember(all);
    }
    return reading?.cached;
  }

  /** All that the session will have taken in with these tokens, if that is known. */
  #all(tokens: Uint32Array): Uint32Array | undefined {
    return this.#known && joined(this.#known, tokens);
  }

  /** Goes on from the longest beginning of `all` that the cache knows. */
  #look(all: Uint32Array | undefined): Reading | undefined {
    if (!all || all.length === this.#position) return undefined;
    const reading = this.#shared.cache!.begin(this.#id, all, this.#position);
    this.#position += reading.cached;
    return reading;
  }

  /** It has taken in what it has of these tokens. */
  #remember(all: Uint32Array | undefined): void {
    this.#known = all && this.#position <= all.length ? all.slice(0, this.#position) : undefined;
  }

  /** Does something with the session, when it is open and until it is closed. */
  async #ask<T>(work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#check();
    const stop = anyOf([signalOption(signal), this.#closing.signal]);
    const asked = this.#opened.then(() => {
      stop.signal.throwIfAborted();
      return work(stop.signal);
    });
    return await this.#occupy(asked).finally(stop.release);
  }

  /** The session is busy until `work` is done; what is answered comes after that. */
  #occupy<T>(work: Promise<T>): Promise<T> {
    const free = () => {
      this.#work = undefined;
    };
    this.#work = work.then(free, free);
    return this.#work.then(() => work);
  }

  /** Also tells the session where it stands. */
  #heard(listener: Listener): Listener {
    return {
      ...listener,
      fed: (position) => {
        this.#position = position;
        listener.fed?.(position);
      },
    };
  }
}

function joined(a: Uint32Array, b: Uint32Array): Uint32Array {
  const both = new Uint32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
