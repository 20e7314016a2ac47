/** A generation: from options to what the engine draws with, and from its tokens to a stream of text. */

import type { Listener } from "./engine/host.ts";
import type { Done, FinishReason, Sampling } from "./engine/protocol.ts";
import { RwkvError } from "./errors.ts";
import { TextStream } from "./text/stream.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** How to draw tokens. Order: penalties, top-k and top-p over the untempered probabilities, temperature, draw. */
export interface GenerateOptions {
  /** Most tokens to generate, from 1. Default 256. */
  maxTokens?: number;
  /** 0 (greedy) to 100. Default 0.8. */
  temperature?: number;
  /** Keep the likeliest tokens that together have this probability, above 0 to 1. Default 0.9; 1 is off. */
  topP?: number;
  /** Keep so many of the likeliest tokens. Default 0, off. */
  topK?: number;
  /** Divides (if positive) or multiplies (if negative) the logits of tokens generated before, 0.01 to 100. Default 1, off. */
  repetitionPenalty?: number;
  /** Subtracted from the logits of tokens generated before, -100 to 100. Default 0. */
  presencePenalty?: number;
  /** Subtracted from their logits for each (decayed) occurrence, -100 to 100. Default 0. */
  frequencyPenalty?: number;
  /** What is left of an occurrence after one more token, 0 to 1. Default 1. */
  penaltyDecay?: number;
  /** An integer below 2^53 or a bigint below 2^64: the same seed gives the same text, in every runtime. Default: a random one. */
  seed?: number | bigint;
  /** Tokens that end the text without being part of it. Default: the vocabulary's end-of-text tokens. */
  stopTokens?: readonly number[];
  /** Stops the generation; what waits for it is rejected with the signal's reason. */
  signal?: AbortSignal;
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

interface Range {
  low: number;
  high: number;
  open?: boolean;
  integer?: boolean;
}

function number(name: string, value: unknown, fallback: number, { low, high, open, integer }: Range): number {
  if (value === undefined) return fallback;
  const fits =
    typeof value === "number" &&
    (open ? value > low : value >= low) &&
    value <= high &&
    (!integer || Number.isInteger(value));
  if (fits) return value;
  const range = `${open ? "above " : ""}${low} to ${high}`;
  throw new RwkvError(
    "input",
    `${name} must be ${integer ? "an integer" : "a number"} from ${range}, not ${typeof value === "string" ? `"${value}"` : String(value)}.`,
  );
}

/** A seed as two words, low half first; a random one without. */
export function seedWords(seed: number | bigint | undefined): [number, number] {
  if (seed === undefined) {
    const [low, high] = crypto.getRandomValues(new Uint32Array(2));
    return [low!, high! & 0x1fffff]; // 53 bits, so that it can be given back as a number
  }
  const fits =
    (typeof seed === "number" && Number.isSafeInteger(seed) && seed >= 0) ||
    (typeof seed === "bigint" && seed >= 0n && seed < 1n << 64n);
  if (!fits) {
    throw new RwkvError("input", `seed must be an integer from 0 to 2^53 - 1, or a bigint below 2^64, not ${seed}.`);
  }
  const wide = BigInt(seed);
  return [Number(wide & 0xffffffffn), Number(wide >> 32n)];
}

/** Checks the options; throws `RwkvError` "input" that names the one at fault and its range. */
export function samplingOf(options: GenerateOptions, vocab: number, eos: readonly number[]): Sampling {
  const stopTokens = options.stopTokens ?? eos;
  if (!Array.isArray(stopTokens)) throw new RwkvError("input", "stopTokens must be an array of token ids.");
  for (const token of stopTokens) number("a stop token", token, 0, { low: 0, high: vocab - 1, integer: true });
  return {
    maxTokens: number("maxTokens", options.maxTokens, 256, { low: 1, high: 2 ** 31 - 1, integer: true }),
    temperature: number("temperature", options.temperature, 0.8, { low: 0, high: 100 }),
    topP: number("topP", options.topP, 0.9, { low: 0, high: 1, open: true }),
    topK: number("topK", options.topK, 0, { low: 0, high: 2 ** 31 - 1, integer: true }),
    repetitionPenalty: number("repetitionPenalty", options.repetitionPenalty, 1, { low: 0.01, high: 100 }),
    presencePenalty: number("presencePenalty", options.presencePenalty, 0, { low: -100, high: 100 }),
    frequencyPenalty: number("frequencyPenalty", options.frequencyPenalty, 0, { low: -100, high: 100 }),
    penaltyDecay: number("penaltyDecay", options.penaltyDecay, 1, { low: 0, high: 1 }),
    seed: seedWords(options.seed),
    stopTokens,
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
