/** A loaded model. */

import { checkOptions, shown, signalOption } from "../checks.ts";
import type { Recipe } from "../engine/weight-types.ts";
import { RwkvError } from "../errors.ts";
import type { GenerateOptions, Generation } from "../generate.ts";
import type { LoraInfo } from "../model/lora.ts";
import { encodeState } from "../model/state.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { CacheReport } from "../types.ts";
import { openTuned } from "../weights/open.ts";
import type { Candidate, CandidateOptions } from "./candidates.ts";
import type { Chat, ChatOptions } from "./chat.ts";
import type { DraftSource } from "./draft.ts";
import type { ContinuationScore, EmbedOptions, MeasureOptions, Perplexity, PerplexityOptions } from "./measures.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import { type Prompt, Session, type Shared, tokensOf } from "./session.ts";
import { type ModelSource, SOURCE_NAMES, type SourceOptions, sourceOf } from "./source.ts";
import { tokenizerOf } from "./tokenizer.ts";

/** What a model is and how it runs. */
export interface ModelInfo {
  readonly name: string;
  /** "7", ... */
  readonly version: string;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly headSize: number;
  readonly ffn: number;
  readonly vocab: number;
  /** Which tokenizer it has and where that comes from, or "none: " and why. */
  readonly tokenizer: string;
  readonly parameters: number;
  readonly container: string;
  /** By which recipe the weights were converted while loading. */
  readonly recipe?: Recipe;
  /** How many bytes of weights each type takes in memory, and all memory together. */
  readonly weights: Readonly<Record<string, number>>;
  /** How matrices of each quantised type lie in memory: as codes and scales that mean the same numbers, taken apart for the kernels. */
  readonly repacked: Readonly<Record<string, string>>;
  readonly memory: number;
  /** Bytes of one session's state. */
  readonly stateBytes: number;
  /** "team": workers with shared memory; "worker": one worker; "inline": beside the caller. */
  readonly mode: "team" | "worker" | "inline";
  readonly threads: number;
  /** The build of the kernels. All give the same bits. */
  readonly build: string;
  readonly numerics: number;
  /** Over the small tensors: the same for all weight types of one model. States carry it. */
  readonly fingerprint: string;
  /** The epsilon of `ln_x`, where there is one. */
  readonly lnXEpsilon?: number;
  /** What was merged while loading. */
  readonly lora?: LoraInfo;
  /** Tensors of the file that mean nothing here. */
  readonly unknownTensors: readonly string[];
  /** What the cache of downloads did, if the model came through it. */
  readonly cache?: CacheReport;
}

export class Model {
  readonly info: ModelInfo;
  readonly #shared: Shared;

  /** @internal Models come from `load`. */
  constructor(shared: Shared, info: ModelInfo) {
    this.#shared = shared;
    this.info = info;
  }

  /** Text to tokens and back. Throws `RwkvError` "input" if there is none; `info.tokenizer` says why. */
  get tokenizer(): Tokenizer {
    return tokenizerOf(this.#shared.text);
  }

  /** The states that are kept behind texts that were read; undefined unless `load` was told to keep any. */
  get prefixCache(): PrefixCache | undefined {
    return this.#shared.cache;
  }

  /** A new session, or one that continues from what `session.save()` gave. */
  session(saved?: Uint8Array): Session {
    return new Session(this.#shared, { bytes: saved });
  }

  /**
   * A tuned state (`.pth` or safetensors of `blocks.N.att.time_state`) as `session.save()` would give it: for `model.session(bytes)`, as
   * often as wanted. Throws `RwkvError` "weights", "unsupported", "input", "network".
   */
  async initialState(from: ModelSource, options: SourceOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    this.#check();
    checkOptions("initialState", options, SOURCE_NAMES);
    const { platform, spec, identity } = this.#shared;
    const { readInitialState } = await import("../model/initial-state.ts");
    const file = await openTuned(await sourceOf(platform, from, options, "The source of a state"), options.signal);
    try {
      const kernels = await platform.kernels("plain");
      const state = await readInitialState(file, identity.version, spec.state, kernels, options.signal);
      return encodeState(identity, spec.state, 0, state);
    } finally {
      await file.close();
    }
  }

  /**
   * The weighted sum of saved states of this model, as one state: `[[a, 0.5], [b, 0.5]]` is their average. It stands at the position of the
   * first one. What a model makes of such a state is up to you to find out. Rejects with `RwkvError` "state", "input", "unsupported".
   */
  async combineStates(
    states: readonly (readonly [bytes: Uint8Array, weight: number])[],
  ): Promise<Uint8Array<ArrayBuffer>> {
    this.#check();
    const { spec, identity } = this.#shared;
    const { combineStates } = await import("../model/combine-states.ts");
    return combineStates(states, identity, spec.state);
  }

  /** Generates from a prompt, in a session of its own that ends with it. */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    const session = this.session();
    try {
      return session.generateAndClose(prompt, options);
    } catch (error) {
      void session.close();
      throw error;
    }
  }

  /** A conversation, new or saved. Throws `RwkvError` "input", "state", "unsupported"; docs/chat.md says more. */
  async chat(options: ChatOptions = {}): Promise<Chat> {
    const { openChat } = await import("./chat.ts");
    return await openChat(this, this.#shared, options);
  }

  /** The logits after each token: one array of `info.vocab` numbers per token. Without a session, from the beginning. */
  async forward(
    ids: readonly number[] | Uint32Array,
    session?: Session,
    options: { signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    if (session !== undefined && !(session instanceof Session)) {
      throw new RwkvError("input", `The second argument of forward is a session, not ${shown(session)}.`);
    }
    if (session && !session.belongsTo(this.#shared)) {
      throw new RwkvError("input", "The session belongs to another model.");
    }
    if (session) return session.forward(ids, options);
    const own = this.session();
    try {
      return await own.forward(ids, options);
    } finally {
      await own.close();
    }
  }

  /** Several answers to a prompt at once, each with a seed of its own, perhaps the likeliest of more; docs/generate.md says more. */
  async candidates(prompt: Prompt, options: CandidateOptions = {}): Promise<Candidate[]> {
    const session = await this.#inner(options?.signal);
    return await session.candidates(prompt, options).finally(() => session.close());
  }

  /**
   * How likely each of several continuations of a prompt is, which is read once; for multiple choice. Text is turned into tokens piece by
   * piece, so continuations should begin where a token does, mostly with a space.
   */
  async score(
    prompt: Prompt,
    continuations: readonly Prompt[],
    options: MeasureOptions = {},
  ): Promise<ContinuationScore[]> {
    checkOptions<MeasureOptions>("score", options, { signal: 1 });
    const session = await this.#inner(options.signal);
    try {
      await session.feed(prompt, options);
      return await session.score(continuations, options);
    } finally {
      await session.close();
    }
  }

  /** How surprising a text is, or tokens are, from the beginning. The text may be of any length. */
  async perplexity(text: Prompt, options: PerplexityOptions = {}): Promise<Perplexity> {
    checkOptions<PerplexityOptions>("perplexity", options, { signal: 1, onProgress: 1 });
    const tokens = tokensOf(this.#shared, text, 0);
    return (await import("./measures.ts")).perplexity(this.#shared, tokens, options);
  }

  /** A text as a vector of `info.width` numbers, or as a state; to be compared by `cosine`. */
  async embed(text: Prompt, options: EmbedOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    checkOptions<EmbedOptions>("embed", options, { signal: 1, pooling: 1 });
    const tokens = tokensOf(this.#shared, text, 0);
    return (await import("./measures.ts")).embed(this.#shared, tokens, options);
  }

  /** @internal What guesses for another model. */
  drafter(): DraftSource {
    return { shared: this.#shared };
  }

  /** A session for something that takes more than one request, when there is a place. */
  async #inner(signal: AbortSignal | undefined): Promise<Session> {
    return new Session(this.#shared, { inner: await this.#shared.inner.wait(signalOption(signal)) });
  }

  #check(): void {
    const { gone } = this.#shared.engine;
    if (gone?.code === "closed") throw gone;
  }

  /** Stops the engine and gives its memory back. What is still running is rejected with "closed". */
  async close(): Promise<void> {
    this.#shared.engine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
