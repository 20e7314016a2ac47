/** A generation: from options to what the engine draws with, and from its tokens to a stream of text. */

import { numberOption, tokenIds } from "./checks.ts";
import type { Listener } from "./engine/host.ts";
import type { Done, FinishReason } from "./engine/protocol.ts";
import type { Sampling } from "./engine/sampler.ts";
import { RwkvError } from "./errors.ts";
import { type SamplingOptions, samplingOf, type Vocabulary } from "./sampling.ts";
import { TextStream } from "./text/stream.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** How to draw tokens, and when to end. */
export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate, from 1. Default 256. */
  maxTokens?: number;
  /** Tokens that end the text without being part of it. Default: the vocabulary's end-of-text tokens. */
  stopTokens?: readonly number[];
  /** Stops the generation; what waits for it is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** @internal What a request for a generation says beside the prompt. */
export interface Wanted {
  sampling: Sampling;
  maxTokens: number;
  stopTokens: readonly number[];
}

/** One token's worth of a generation. */
export interface Part {
  /** The text that became complete with this token: never half a character, possibly empty. */
  readonly text: string;
  readonly token: number;
}

export interface GenerationResult {
  readonly finishReason: FinishReason;
  /** Tokens of the prompt, and tokens generated. */
  readonly promptTokens: number;
  readonly tokens: number;
  /** The seed that was used. */
  readonly seed: bigint;
}

/** Checks the options; throws `RwkvError` "input" that names the one at fault and its range. */
export function wantedOf(options: GenerateOptions, vocabulary: Vocabulary, eos: readonly number[]): Wanted {
  return {
    maxTokens: numberOption("maxTokens", options.maxTokens, 256, { low: 1, high: 2 ** 31 - 1, integer: true }),
    stopTokens: tokenIds("stopTokens", "a stop token", options.stopTokens ?? eos, vocabulary.size),
    sampling: samplingOf(options, vocabulary),
  };
}

/**
 * A running generation: iterate it once for its parts, or take its whole text. It runs ahead of who reads it. Leaving the loop
 * early stops it; the session then stands at its last commit.
 */
export class Generation implements AsyncIterable<Part> {
  /** The seed in use: with it, the same prompt and options give the same text again. */
  readonly seed: bigint;
  /** What came of it, once it has ended. Rejects as the iteration does. */
  readonly result: Promise<GenerationResult>;
  readonly #parts: Part[] = [];
  readonly #stop = new AbortController();
  #wake: (() => void) | undefined;
  #ended = false;
  #failure: { error: unknown } | undefined;
  #taken = false;

  /** @internal */
  constructor(
    run: (listener: Listener, signal: AbortSignal) => Promise<Done>,
    bytesOf: Pick<Tokenizer, "bytes"> | undefined,
    promptTokens: number,
    seed: readonly [number, number],
    signal: AbortSignal | undefined,
  ) {
    this.seed = (BigInt(seed[1]) << 32n) | BigInt(seed[0]);
    const text = new TextStream();
    let tokens = 0;
    // Parts that end within a character wait, so that whatever becomes of the character is the text of a token.
    let held: { text: string; token: number }[] = [];
    const release = () => {
      this.#parts.push(...held);
      held = [];
    };
    const listener: Listener = {
      tokens: (ids) => {
        for (const token of ids) {
          held.push({ text: bytesOf ? text.push(bytesOf.bytes(token)) : "", token });
          if (!text.unfinished) release();
        }
        tokens += ids.length;
        this.#wake?.();
      },
    };
    // Two reasons to stop: the caller's signal, and nobody reading any more.
    const stop = () => this.#stop.abort(signal!.reason);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop);
    this.result = run(listener, this.#stop.signal).then(
      (done) => {
        signal?.removeEventListener("abort", stop);
        const last = held.at(-1);
        if (last) last.text += text.flush();
        release();
        this.#end();
        return {
          finishReason: done.finishReason!,
          promptTokens,
          tokens,
          seed: this.seed,
        };
      },
      (error) => {
        signal?.removeEventListener("abort", stop);
        release();
        this.#failure = { error };
        this.#end();
        throw error;
      },
    );
    // Whoever iterates hears of a failure there; nobody has to look at `result`.
    this.result.catch(() => {});
  }

  #leave(): void {
    this.#stop.abort(new RwkvError("closed", "The generation was left before its end."));
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Part, void, undefined> {
    if (this.#taken) throw new RwkvError("input", "A generation can be read only once.");
    this.#taken = true;
    try {
      for (let i = 0; ; ) {
        if (i < this.#parts.length) {
          yield this.#parts[i++]!;
          if (i === this.#parts.length) i = this.#parts.length = 0;
          continue;
        }
        if (this.#ended) break;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      if (!this.#ended) {
        this.#leave();
        await this.result.catch(() => {});
      }
    }
    if (this.#failure) throw this.#failure.error;
  }

  /** The whole text, when it is complete. */
  async text(): Promise<string> {
    let text = "";
    for await (const part of this) text += part.text;
    return text;
  }

  /** The text as a stream of strings, for a `Response` through a `TextEncoderStream`. */
  toReadableStream(): ReadableStream<string> {
    const parts = this[Symbol.asyncIterator]();
    return new ReadableStream<string>({
      async pull(controller) {
        for (;;) {
          const { done, value } = await parts.next();
          if (done) return controller.close();
          if (value.text) return controller.enqueue(value.text);
        }
      },
      cancel: async () => {
        // Before the iterator, which is deaf while it waits for the next part.
        this.#leave();
        await parts.return();
      },
    });
  }
}
