/** Several answers to one prompt, generated together from one state, and the best of them. */

import { checkOptions, isRecord, type Names, numberOption } from "../checks.ts";
import type { Running } from "../engine/host.ts";
import { RwkvError } from "../errors.ts";
import {
  GENERATE_NAMES,
  type GenerateOptions,
  Generation,
  type GenerationResult,
  isConstrained,
  type Setup,
  stopsOf,
  type Wanted,
  wantedOf,
} from "../generate.ts";
import type { Part } from "../text/parts.ts";
import { constraintOf } from "./constraint.ts";
import type { Shared } from "./session.ts";
import { tokenizerOf } from "./tokenizer.ts";

const MOST = 64;

export interface CandidateOptions extends Omit<GenerateOptions, "echo" | "speculate"> {
  /** How many answers, 1 to 64. Default 1. */
  n?: number;
  /** How many to generate, `n` to 64: then the `n` likeliest of them are given, by their tokens' mean log-probability. Default `n`: all. */
  bestOf?: number;
  /** Called with each part as it comes, and with the number of its candidate: the one that uses `seed` plus that number. */
  onPart?: (part: Part, candidate: number) => void;
}

const { echo: _, speculate: __, ...LIKE_GENERATE } = GENERATE_NAMES;
const NAMES: Names<CandidateOptions> = { ...LIKE_GENERATE, n: 1, bestOf: 1, onPart: 1 };

/** One of several answers. */
export interface Candidate extends GenerationResult {
  readonly text: string;
  readonly parts: readonly Part[];
  /** Natural logarithm of the text's probability. */
  readonly logprob: number;
  /** Divided by the number of tokens; -Infinity for an empty text. */
  readonly perToken: number;
}

/** @internal What was asked for, checked. */
export interface Choice {
  readonly n: number;
  readonly bestOf: number;
  readonly wanted: Wanted;
  readonly stops: Setup["stops"];
}

/** Checks the options. Throws `RwkvError` "input". */
export function choiceOf({ spec, text }: Shared, options: CandidateOptions): Choice {
  const given: object = isRecord(options) ? options : {};
  if ("echo" in given) throw new RwkvError("input", "Candidates have no echo: their prompt is read once for all.");
  if ("speculate" in given) throw new RwkvError("input", "Candidates are not speculated on: they share steps already.");
  checkOptions("candidates", options, NAMES);
  const n = numberOption("n", options.n, 1, { low: 1, high: MOST, integer: true });
  const bestOf = numberOption("bestOf", options.bestOf, n, { low: n, high: MOST, integer: true });
  const { tokenizer } = text;
  const wanted = wantedOf({ logprobs: 0, ...options }, { size: spec.vocab, tokenizer }, tokenizer?.eos ?? []);
  const stops = stopsOf(options);
  if (stops.length > 0) tokenizerOf(text);
  return { n, bestOf, wanted, stops };
}

/** Generates from where a session stands, behind the prompt. It stays there. */
export async function candidates(
  shared: Shared,
  session: number,
  read: { readonly prompt: Uint32Array; readonly cached?: number },
  { n, bestOf, wanted, stops }: Choice,
  options: CandidateOptions,
): Promise<Candidate[]> {
  const { onPart, signal } = options;
  if (isConstrained(options)) wanted.constraint = await constraintOf(shared, options);
  const [low, high] = wanted.sampling.seed;
  const ends = Array.from({ length: bestOf }, () => new AbortController());
  const endAll = (reason: unknown) => {
    for (const end of ends) end.abort(reason);
  };
  const abort = () => endAll(signal!.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  const one = async (end: AbortController, i: number): Promise<Candidate> => {
    const seed = BigInt.asUintN(64, ((BigInt(high) << 32n) | BigInt(low)) + BigInt(i));
    const words = [Number(seed & 0xffffffffn), Number(seed >> 32n)] as const;
    const own: Wanted = { ...wanted, sampling: { ...wanted.sampling, seed: words } };
    const generation = new Generation({
      start: (listener, until, cancelled) => begin(shared, session, read, own, listener, until, cancelled),
      tokenizer: shared.text.tokenizer,
      prompt: read.prompt,
      echo: false,
      wanted: own,
      stops,
      signals: [end.signal],
      keeps: false,
      onRead: () => {},
    });
    const parts: Part[] = [];
    for await (const part of generation) {
      parts.push(part);
      onPart?.(part, i);
    }
    const result = await generation.result;
    const logprob = result.logprob!;
    return {
      ...result,
      logprob,
      perToken: result.tokens > 0 ? logprob / result.tokens : Number.NEGATIVE_INFINITY,
      text: parts.map(({ text }) => text).join(""),
      parts,
    };
  };
  try {
    const made = await Promise.allSettled(
      ends.map(async (end, i) => {
        try {
          return await one(end, i);
        } catch (error) {
          // What ends one of them ends all.
          endAll(error);
          throw error;
        }
      }),
    );
    const all = made.map((one) => {
      if (one.status === "rejected") throw one.reason;
      return one.value;
    });
    return bestOf === n ? all : all.sort((a, b) => b.perToken - a.perToken).slice(0, n);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** Starts a generation beside the session, when there is a place. */
async function begin(
  { engine, aside }: Shared,
  session: number,
  { prompt: seen, cached }: { readonly prompt: Uint32Array; readonly cached?: number },
  wanted: Wanted,
  listener: Parameters<Setup["start"]>[0],
  until: number,
  cancelled: AbortSignal,
): Promise<Running> {
  const place = await aside.wait(cancelled);
  const free = () => aside.give(place);
  const tokens = new Uint32Array();
  const running = engine.generate({ session, aside: true, tokens, seen, keeps: false, until, ...wanted }, listener);
  running.done.then(free, free);
  return { ...running, cached };
}
