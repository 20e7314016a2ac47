/**
 * How tokens are drawn: the options, what they may be, and the message that they become for the engine. docs/sampling.md says
 * what each does, in which order, and where it comes from.
 */

import { booleanOption, isRecord, type Names, numberOption, optionsOf, type Range, shown, tokenIds } from "./checks.ts";
import { DRY_RANGE, type Sampling } from "./engine/sampler.ts";
import { RwkvError } from "./errors.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** DRY: makes tokens that would continue a repetition less likely, the more the longer it is already. */
export interface DryOptions {
  /** Subtracted from the logit when the repetition has just the allowed length, 0 to 100. Default 0.8; 0 is off. */
  multiplier?: number;
  /** What each further token of the repetition multiplies that by, 1 to 100. Default 1.75. */
  base?: number;
  /** From how many repeated tokens on it counts, 1 to 4096. Default 2. */
  allowedLength?: number;
  /**
   * No repetition reaches across these: token ids, or strings, which stand for all tokens that contain them; 100 at most. Default
   * `"\n"`, `":"`, `"\""` and `"*"`, or none for a model without a tokenizer.
   */
  breakers?: readonly (string | number)[];
  /** How many of the latest tokens to look back at, 1 to 4096. Default 1024. */
  range?: number;
}

/** XTC, "exclude top choices": of several likely tokens, takes the least likely. */
export interface XtcOptions {
  /** How often it happens at all, 0 to 1. Default 0.5; 0 is off. */
  probability?: number;
  /** What counts as likely, a probability from 0 to 1. Default 0.1; above 0.5 nothing is excluded. */
  threshold?: number;
}

/** Mirostat, version 2: steers the average surprise of the tokens drawn. */
export interface MirostatOptions {
  /** Surprise to aim at, in bits, above 0 to 100. Default 5. */
  tau?: number;
  /** How quickly it adapts, 0 to 1. Default 0.1. */
  eta?: number;
}

/** The temperature follows the entropy: lower where the model is sure, higher where it is not. */
export interface DynamicTemperatureOptions {
  /** The temperature goes from `temperature - range` (but not below 0) to `temperature + range`; 0 to 100. Default 0.5; 0 is off. */
  range?: number;
  /** The power of the normalised entropy that decides where in between, above 0 to 100. Default 1. */
  exponent?: number;
}

/**
 * How to draw tokens. In this order: bans and bias; penalties; DRY; top-n-sigma, top-k, typical, top-p and min-p, all over the
 * untempered probabilities; XTC; temperature; the draw.
 */
export interface SamplingOptions {
  /** 0 (greedy: always the likeliest) to 100. Default 0.8. */
  temperature?: number;
  /** Keep the likeliest tokens that together have this probability, above 0 to 1. Default 0.9, with mirostat 1; 1 is off. */
  topP?: number;
  /** Keep so many of the likeliest tokens. Default 0, off. */
  topK?: number;
  /** Keep tokens at least so likely, in proportion to the likeliest, 0 to 1. Default 0, off. */
  minP?: number;
  /** Keep the tokens that are most nearly as surprising as expected and together have this probability, above 0 to 1. Default 1, off. */
  typicalP?: number;
  /** Keep tokens whose logits are within so many standard deviations of the largest, 0 to 100. Default 0, off. */
  topNSigma?: number;
  /** Divides (if positive) or multiplies (if negative) the logits of tokens generated before, 0.01 to 100. Default 1, off. */
  repetitionPenalty?: number;
  /** Subtracted from the logits of tokens generated before, -100 to 100. Default 0. */
  presencePenalty?: number;
  /** Subtracted from their logits for each (decayed) occurrence, -100 to 100. Default 0. */
  frequencyPenalty?: number;
  /** What is left of an occurrence after one more token, 0 to 1. Default 1. */
  penaltyDecay?: number;
  /** The penalties, and DRY, count the tokens of the prompt as well. Default false. */
  penalizePrompt?: boolean;
  dry?: DryOptions;
  xtc?: XtcOptions;
  /** Instead of topP, topK, minP, typicalP, topNSigma, xtc and dynamicTemperature. */
  mirostat?: MirostatOptions;
  dynamicTemperature?: DynamicTemperatureOptions;
  /** Added to the logits of these tokens, -100 to 100, or -Infinity, which bans: an object or a Map by token id, or an array of pairs. */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number> | readonly (readonly [number, number])[];
  /** Tokens that are never drawn. */
  bannedTokens?: readonly number[];
  /** An integer below 2^53 or a bigint below 2^64: the same seed gives the same text, in every runtime. Default: a random one. */
  seed?: number | bigint;
}

/** Their names. */
export const SAMPLING_NAMES: Names<SamplingOptions> = {
  temperature: 1,
  topP: 1,
  topK: 1,
  minP: 1,
  typicalP: 1,
  topNSigma: 1,
  repetitionPenalty: 1,
  presencePenalty: 1,
  frequencyPenalty: 1,
  penaltyDecay: 1,
  penalizePrompt: 1,
  dry: 1,
  xtc: 1,
  mirostat: 1,
  dynamicTemperature: 1,
  logitBias: 1,
  bannedTokens: 1,
  seed: 1,
};

/** What options are checked against: how many tokens there are, and, where there is a tokenizer, their bytes. */
export interface Vocabulary {
  readonly size: number;
  readonly tokenizer?: Pick<Tokenizer, "bytes">;
}

const BREAKERS = ["\n", ":", '"', "*"];
const MOST_BREAKERS = 100;
const UNIT: Range = { low: 0, high: 1 };
const SHARE: Range = { low: 0, high: 1, open: true };
const HUNDRED: Range = { low: 0, high: 100 };
const SIGNED: Range = { low: -100, high: 100 };
const ABOVE_0: Range = { low: 0, high: 100, open: true };
const LENGTH: Range = { low: 1, high: DRY_RANGE, integer: true };

/** Checks the options; throws `RwkvError` "input" that names the one at fault and its range, or both that exclude each other. */
export function samplingOf(options: SamplingOptions, vocabulary: Vocabulary): Sampling {
  const o = options;
  const mirostat = mirostatOf(o.mirostat);
  const sampling: Sampling = {
    temperature: numberOption("temperature", o.temperature, 0.8, HUNDRED),
    topP: numberOption("topP", o.topP, mirostat ? 1 : 0.9, SHARE),
    topK: numberOption("topK", o.topK, 0, { low: 0, high: 2 ** 31 - 1, integer: true }),
    minP: numberOption("minP", o.minP, 0, UNIT),
    typicalP: numberOption("typicalP", o.typicalP, 1, SHARE),
    topNSigma: numberOption("topNSigma", o.topNSigma, 0, HUNDRED),
    repetitionPenalty: numberOption("repetitionPenalty", o.repetitionPenalty, 1, { low: 0.01, high: 100 }),
    presencePenalty: numberOption("presencePenalty", o.presencePenalty, 0, SIGNED),
    frequencyPenalty: numberOption("frequencyPenalty", o.frequencyPenalty, 0, SIGNED),
    penaltyDecay: numberOption("penaltyDecay", o.penaltyDecay, 1, UNIT),
    penalizePrompt: booleanOption("penalizePrompt", o.penalizePrompt),
    dry: dryOf(o.dry, vocabulary),
    xtc: xtcOf(o.xtc),
    mirostat,
    dynamicTemperature: dynamicTemperatureOf(o.dynamicTemperature),
    bias: biasOf(o, vocabulary.size),
    seed: seedWords(o.seed),
  };
  exclude(sampling);
  return sampling;
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
    throw new RwkvError(
      "input",
      `seed must be an integer from 0 to 2^53 - 1, or a bigint below 2^64, not ${shown(seed)}.`,
    );
  }
  const wide = BigInt(seed);
  return [Number(wide & 0xffffffffn), Number(wide >> 32n)];
}

/** Throws when two options contradict each other. */
function exclude(s: Sampling): void {
  const refuse = (a: string, b: string, why: string) => {
    throw new RwkvError("input", `${a} and ${b} exclude each other: ${why}. Leave one of them out.`);
  };
  if (s.mirostat) {
    const replaced = {
      topP: s.topP < 1,
      topK: s.topK > 0,
      minP: s.minP > 0,
      typicalP: s.typicalP < 1,
      topNSigma: s.topNSigma > 0,
      xtc: s.xtc,
      dynamicTemperature: s.dynamicTemperature,
    };
    const other = Object.entries(replaced).find(([, used]) => used)?.[0];
    if (other) refuse("mirostat", other, "mirostat decides itself which tokens are kept");
    if (s.temperature === 0) refuse("mirostat", "temperature 0", "at temperature 0 nothing is drawn");
  }
  if (s.dynamicTemperature && s.temperature === 0) {
    refuse("dynamicTemperature", "temperature 0", "at temperature 0 nothing is drawn");
  }
}

function dryOf(value: DryOptions | undefined, vocabulary: Vocabulary): Sampling["dry"] {
  const given = optionsOf("dry", value, ["multiplier", "base", "allowedLength", "breakers", "range"]);
  if (!given) return undefined;
  const dry = {
    multiplier: numberOption("dry.multiplier", given.multiplier, 0.8, HUNDRED),
    base: numberOption("dry.base", given.base, 1.75, { low: 1, high: 100 }),
    allowedLength: numberOption("dry.allowedLength", given.allowedLength, 2, LENGTH),
    breakers: breakersOf(given.breakers, vocabulary),
    range: numberOption("dry.range", given.range, 1024, LENGTH),
  };
  return dry.multiplier > 0 ? dry : undefined;
}

/** A bit per token, in words of 32. */
function breakersOf(given: DryOptions["breakers"], { size, tokenizer }: Vocabulary): Uint32Array<ArrayBuffer> {
  const bits = new Uint32Array(Math.ceil(size / 32));
  const breakers = given ?? (tokenizer ? BREAKERS : []);
  if (!Array.isArray(breakers) || breakers.length > MOST_BREAKERS) {
    const what = Array.isArray(breakers) ? `${breakers.length} of them` : shown(breakers);
    throw new RwkvError(
      "input",
      `dry.breakers must be an array of at most ${MOST_BREAKERS} strings or token ids, not ${what}.`,
    );
  }
  for (const breaker of breakers) {
    if (typeof breaker !== "string") {
      const [token] = tokenIds("dry.breakers", "a breaker of dry that is no string", [breaker], size);
      bits[token! >> 5]! |= 1 << (token! & 31);
      continue;
    }
    if (breaker === "") throw new RwkvError("input", "dry.breakers must not hold an empty string.");
    if (!tokenizer) {
      throw new RwkvError(
        "input",
        `dry.breakers must be token ids, not ${shown(breaker)}: the model has no tokenizer that knows which tokens contain it.`,
      );
    }
    const containing = tokensWith(tokenizer, size, breaker);
    for (let i = 0; i < bits.length; i++) bits[i]! |= containing[i]!;
  }
  return bits;
}

/** What was found for a tokenizer's strings, as long as the tokenizer lives. */
const found = new WeakMap<Pick<Tokenizer, "bytes">, Map<string, Uint32Array>>();
const MOST_FOUND = 1000;

/** The tokens whose bytes contain this text, a bit each. */
function tokensWith(tokenizer: Pick<Tokenizer, "bytes">, size: number, text: string): Uint32Array {
  const known = found.get(tokenizer) ?? new Map<string, Uint32Array>();
  found.set(tokenizer, known);
  const before = known.get(text);
  if (before) return before;
  const wanted = new TextEncoder().encode(text);
  const bits = new Uint32Array(Math.ceil(size / 32));
  for (let token = 0; token < size; token++) {
    if (contains(tokenizer.bytes(token), wanted)) bits[token >> 5]! |= 1 << (token & 31);
  }
  if (known.size >= MOST_FOUND) known.clear();
  known.set(text, bits);
  return bits;
}

function contains(bytes: Uint8Array, wanted: Uint8Array): boolean {
  for (let i = bytes.indexOf(wanted[0]!); i >= 0; i = bytes.indexOf(wanted[0]!, i + 1)) {
    if (wanted.every((byte, j) => bytes[i + j] === byte)) return true;
  }
  return false;
}

function xtcOf(value: XtcOptions | undefined): Sampling["xtc"] {
  const given = optionsOf("xtc", value, ["probability", "threshold"]);
  if (!given) return undefined;
  const probability = numberOption("xtc.probability", given.probability, 0.5, UNIT);
  const threshold = numberOption("xtc.threshold", given.threshold, 0.1, UNIT);
  return probability > 0 ? { probability, threshold } : undefined;
}

function mirostatOf(value: MirostatOptions | undefined): Sampling["mirostat"] {
  const given = optionsOf("mirostat", value, ["tau", "eta"]);
  return (
    given && {
      tau: numberOption("mirostat.tau", given.tau, 5, ABOVE_0),
      eta: numberOption("mirostat.eta", given.eta, 0.1, UNIT),
    }
  );
}

function dynamicTemperatureOf(value: DynamicTemperatureOptions | undefined): Sampling["dynamicTemperature"] {
  const given = optionsOf("dynamicTemperature", value, ["range", "exponent"]);
  if (!given) return undefined;
  const range = numberOption("dynamicTemperature.range", given.range, 0.5, HUNDRED);
  const exponent = numberOption("dynamicTemperature.exponent", given.exponent, 1, ABOVE_0);
  return range > 0 ? { range, exponent } : undefined;
}

/** The bias of each token that has any, bans as -Infinity. */
function biasOf({ logitBias, bannedTokens }: SamplingOptions, vocab: number): Sampling["bias"] {
  const bias = new Map<number, number>();
  for (const [token, value] of entries(logitBias)) {
    if (!Number.isInteger(token) || token < 0 || token >= vocab) {
      throw new RwkvError("input", `logitBias must be of token ids from 0 to ${vocab - 1}, not of ${shown(token)}.`);
    }
    if (bias.has(token)) throw new RwkvError("input", `logitBias names token ${token} twice.`);
    if (!(typeof value === "number" && Math.abs(value) <= 100) && value !== Number.NEGATIVE_INFINITY) {
      throw new RwkvError(
        "input",
        `logitBias of token ${token} must be a number from -100 to 100, or -Infinity, not ${shown(value)}.`,
      );
    }
    bias.set(token, value);
  }
  if (bannedTokens !== undefined) {
    for (const token of tokenIds("bannedTokens", "a banned token", bannedTokens, vocab)) {
      bias.set(token, Number.NEGATIVE_INFINITY);
    }
  }
  if (bias.size === 0) return undefined;
  const values = Float32Array.from(bias.values());
  if (bias.size === vocab && values.every((value) => value === Number.NEGATIVE_INFINITY)) {
    throw new RwkvError("input", `All ${vocab} tokens are banned by bannedTokens and logitBias: leave some.`);
  }
  return { tokens: Uint32Array.from(bias.keys()), values };
}

function entries(logitBias: SamplingOptions["logitBias"]): readonly (readonly [number, number])[] {
  if (logitBias === undefined) return [];
  if (logitBias instanceof Map) return [...logitBias];
  if (isRecord(logitBias)) {
    // "1", not "01" or "1.0": only what an id is written as.
    const idOf = (key: string) => (/^(0|[1-9]\d*)$/.test(key) ? Number(key) : (key as never));
    return Object.entries(logitBias as Record<string, number>).map(([key, value]) => [idOf(key), value]);
  }
  if (!Array.isArray(logitBias)) {
    throw new RwkvError(
      "input",
      `logitBias must be an object or a Map from token ids to numbers, or an array of such pairs, not ${shown(logitBias)}.`,
    );
  }
  const bad = logitBias.findIndex((pair) => !Array.isArray(pair) || pair.length !== 2);
  if (bad >= 0) {
    throw new RwkvError("input", `logitBias must be an array of pairs [token, number]; item ${bad} is none.`);
  }
  return logitBias;
}
