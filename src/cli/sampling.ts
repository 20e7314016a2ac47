/**
 * The options of a generation, as they are called here: one table for `rwkv run`, `rwkv chat` and its /params. Only what was given is
 * passed on, so that what nobody spoke of is left to the library's defaults.
 */

import type { GenerateOptions } from "../index.ts";
import { type Arg, type Given, numberIn, type Range, rangeText, UsageError } from "./arguments.ts";
import { readInput, textOf } from "./input.ts";

/** Options of which a value is more than one number. */
type Kind =
  /** Given or not. */
  | "switch"
  /** Token ids with commas between them. */
  | "tokens"
  /** Texts, one each time it is given. */
  | "texts"
  /** Pairs token=number with commas between them. */
  | "bias"
  | "text"
  /** The name of a file with a text, or with JSON. */
  | "file"
  | "json"
  | "seed";

export interface Option {
  /** Where the library has it: "topP", or "dry.base". */
  readonly path: string;
  readonly about: string;
  /** What happens without it, as a number or in words. */
  readonly usual?: string;
  /** The numbers that it takes, or what else. */
  readonly takes: Range | Kind;
  /** Mirostat does it in its own way, so both are a contradiction, unless it has this value, which is off. */
  readonly off?: number;
}

const COUNT: Range = { low: 0, high: 2 ** 31 - 1, integer: true };
const UNIT: Range = { low: 0, high: 1 };
const SHARE: Range = { low: 0, above: true, high: 1 };
const HUNDRED: Range = { low: 0, high: 100 };
const SIGNED: Range = { low: -100, high: 100 };
const ABOVE_0: Range = { low: 0, above: true, high: 100 };
const LENGTH: Range = { low: 1, high: 4096, integer: true };
/** What `--logit-bias` takes besides -inf. */
const BIAS = SIGNED;

/** How tokens are drawn. */
const DRAWING: Readonly<Record<string, Option>> = {
  temp: { path: "temperature", takes: HUNDRED, usual: "0.8", about: "0 always takes the likeliest token" },
  "top-p": {
    path: "topP",
    takes: SHARE,
    usual: "0.9",
    off: 1,
    about: "Choose among the likeliest tokens that together have this probability",
  },
  "top-k": { path: "topK", takes: COUNT, usual: "0", off: 0, about: "Choose among this many tokens; 0 is no limit" },
  "min-p": {
    path: "minP",
    takes: UNIT,
    usual: "0",
    off: 0,
    about: "Leave out tokens that are less likely than this share of the likeliest",
  },
  "typical-p": {
    path: "typicalP",
    takes: SHARE,
    usual: "1",
    off: 1,
    about: "Choose among the tokens nearest to the expected surprise that together have this probability",
  },
  "top-n-sigma": {
    path: "topNSigma",
    takes: HUNDRED,
    usual: "0",
    off: 0,
    about: "Leave out logits that are more standard deviations than this below the largest; 0 is off",
  },
  "repetition-penalty": {
    path: "repetitionPenalty",
    takes: { low: 0.01, high: 100 },
    usual: "1",
    about: "Make tokens less likely that were generated before; 1 is off",
  },
  "presence-penalty": {
    path: "presencePenalty",
    takes: SIGNED,
    usual: "0",
    about: "Subtract this from the logits of tokens generated before",
  },
  "frequency-penalty": {
    path: "frequencyPenalty",
    takes: SIGNED,
    usual: "0",
    about: "Subtract this for each time they were generated",
  },
  "penalty-decay": {
    path: "penaltyDecay",
    takes: UNIT,
    usual: "1",
    about: "What is left of an occurrence, for the penalties, after one more token",
  },
  "penalize-prompt": { path: "penalizePrompt", takes: "switch", about: "Penalties and DRY count the prompt as well" },
  dry: {
    path: "dry.multiplier",
    takes: HUNDRED,
    about: "Make it less likely that repetitions go on, by this for the shortest",
  },
  "dry-base": {
    path: "dry.base",
    takes: { low: 1, high: 100 },
    usual: "1.75",
    about: "... and so many times that for each token more",
  },
  "dry-length": { path: "dry.allowedLength", takes: LENGTH, usual: "2", about: "The shortest repetition that counts" },
  "dry-range": { path: "dry.range", takes: LENGTH, usual: "1024", about: "How many of the latest tokens to look at" },
  "dry-breaker": {
    path: "dry.breakers",
    takes: "texts",
    usual: "line ends, colons, quotes, asterisks",
    about: "Repetitions end at this text; may be given several times",
  },
  xtc: {
    path: "xtc.probability",
    takes: UNIT,
    off: 0,
    about: "How often to leave out all likely tokens but the least likely of them",
  },
  "xtc-threshold": { path: "xtc.threshold", takes: UNIT, usual: "0.1", about: "What is likely, for that" },
  mirostat: {
    path: "mirostat.tau",
    takes: ABOVE_0,
    about: "Steer towards this surprise, in bits, instead of top-p and the like",
  },
  "mirostat-eta": { path: "mirostat.eta", takes: UNIT, usual: "0.1", about: "How quickly it adapts" },
  "dynamic-temp": {
    path: "dynamicTemperature.range",
    takes: HUNDRED,
    off: 0,
    about: "Vary the temperature with the entropy by up to this",
  },
  "dynamic-temp-exponent": {
    path: "dynamicTemperature.exponent",
    takes: ABOVE_0,
    usual: "1",
    about: "The power of the entropy that decides by how much",
  },
  "logit-bias": {
    path: "logitBias",
    takes: "bias",
    about: `Add to the logits of tokens: id=number,..., each ${rangeText(BIAS)} or -inf`,
  },
  "banned-tokens": { path: "bannedTokens", takes: "tokens", about: "Never draw these tokens: id,id,..." },
  seed: {
    path: "seed",
    takes: "seed",
    usual: "a new one",
    about: "The same seed gives the same text: an integer below 2^64",
  },
};

/** When the text ends. */
const ENDING: Readonly<Record<string, Option>> = {
  "max-tokens": {
    path: "maxTokens",
    takes: { ...COUNT, low: 1 },
    usual: "256",
    about: "Stop after this many tokens",
  },
  "max-time": {
    path: "maxTime",
    takes: { low: 1, high: Number.POSITIVE_INFINITY },
    about: "Stop after this many milliseconds, reading the prompt included",
  },
  stop: {
    path: "stop",
    takes: "texts",
    about: "Stop in front of this text; \\n, \\t and \\\\ mean what they do in programs; may be given several times",
  },
  "stop-tokens": {
    path: "stopTokens",
    takes: "tokens",
    usual: "the vocabulary's end of text",
    about: "Stop at these tokens: id,id,...",
  },
};

/** What the text is held to. */
const CONSTRAINING: Readonly<Record<string, Option>> = {
  grammar: { path: "grammar", takes: "file", about: "The text follows the grammar in this file, GBNF" },
  regex: { path: "regex", takes: "text", about: "The whole text matches this regular expression" },
  schema: { path: "schema", takes: "json", about: "The text is JSON that the JSON schema in this file accepts" },
  "banned-phrase": {
    path: "bannedPhrases",
    takes: "texts",
    about: "This text does not occur; may be given several times",
  },
};

/** How it comes sooner. */
const GUESSING: Readonly<Record<string, Option>> = {
  lookup: {
    path: "speculate.lookup",
    takes: { low: 1, high: 16, integer: true },
    about: "Guess what followed the last so many tokens before: the same text, perhaps sooner",
  },
  "lookup-tokens": {
    path: "speculate.tokens",
    takes: { low: 1, high: 16, integer: true },
    usual: "4",
    about: "How many tokens to guess at a time",
  },
};

export const OPTIONS: Readonly<Record<string, Option>> = { ...DRAWING, ...ENDING, ...CONSTRAINING, ...GUESSING };
/** Far more than grammars and schemas take. */
const CONSTRAINT_BYTES = 16 << 20;

/** What was set, by the names of the table. */
export type Settings = ReadonlyMap<string, unknown>;

const HINTS: Readonly<Record<Exclude<Kind, "switch">, string>> = {
  tokens: "list",
  texts: "text",
  bias: "list",
  text: "text",
  file: "file",
  json: "file",
  seed: "n",
};

/** The table as a command's options. */
export const optionArgs: Readonly<Record<string, Arg>> = Object.fromEntries(
  Object.entries(OPTIONS).map(([name, { takes, about, usual }]) => {
    const numbers = typeof takes === "object" ? `: ${rangeText(takes)}` : "";
    const description = `${about}${numbers}${usual === undefined ? "" : ` (default: ${usual})`}`;
    if (takes === "switch") return [name, { type: "boolean", description }];
    const valueHint = typeof takes === "object" ? "n" : HINTS[takes];
    return [name, { type: "string", valueHint, description, multiple: takes === "texts" }];
  }),
);

/** What a command was given of the table. Throws `UsageError`. */
export async function settingsOf(command: string, { values, switches, lists }: Given): Promise<Map<string, unknown>> {
  const settings = new Map<string, unknown>();
  for (const [name, { takes }] of Object.entries(OPTIONS)) {
    const value = values[name];
    const texts = takes === "switch" ? (switches.has(name) ? ["on"] : []) : (lists[name] ?? []);
    const given = value === undefined ? texts : [value];
    if (given.length === 0) continue;
    try {
      settings.set(name, await settingOf(name, given));
    } catch (error) {
      if (!(error as Error).message.startsWith(name)) throw error;
      throw new UsageError(`--${(error as Error).message}`, command);
    }
  }
  const clash = contradiction(settings);
  if (clash) throw new UsageError(clash.replace(/^(\S+) (and|needs) /, "--$1 $2 --"), command);
  return settings;
}

/** The value that texts stand for. Throws a sentence that begins with the option's name, or says what is the matter with a file. */
export async function settingOf(name: string, texts: readonly string[]): Promise<unknown> {
  const { takes } = OPTIONS[name]!;
  const text = texts.at(-1)!;
  const must = (what: string) => new Error(`${name} must be ${what}, not "${text}"`);
  if (typeof takes === "object") {
    const value = numberIn(text, takes);
    if (value === undefined) throw must(rangeText(takes));
    return value;
  }
  switch (takes) {
    case "switch":
      if (text !== "on" && text !== "off") throw must("on or off");
      return text === "on";
    case "texts":
      if (texts.includes("")) throw new Error(`${name} must not be empty`);
      return texts.map(unescaped);
    case "tokens": {
      const ids = text.split(",").map((id) => numberIn(id.trim(), COUNT));
      if (ids.includes(undefined)) throw must("token ids with commas between them");
      return ids;
    }
    case "bias": {
      const pairs = text.split(",").map((pair) => {
        const [id, value = ""] = pair.split("=");
        return [numberIn(id!.trim(), COUNT), biasOf(value.trim())] as const;
      });
      if (pairs.some((pair) => pair.includes(undefined))) {
        throw must(`pairs id=number with commas between them, each ${rangeText(BIAS)} or -inf`);
      }
      return pairs;
    }
    case "text":
      return text;
    case "file":
    case "json": {
      const content = textOf(await readInput(text, `the ${name}`, CONSTRAINT_BYTES), `the ${name} ${text}`);
      if (takes === "file") return content;
      try {
        return JSON.parse(content);
      } catch (error) {
        throw new Error(`the ${name} ${text} is not JSON: ${(error as Error).message}`, { cause: error });
      }
    }
    case "seed":
      if (/^\d{1,20}$/.test(text) && BigInt(text) < 1n << 64n) return BigInt(text);
      throw must("an integer from 0 to 2^64 - 1");
  }
}

const biasOf = (text: string): number | undefined =>
  text === "-inf" ? Number.NEGATIVE_INFINITY : numberIn(text, BIAS);

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "\\": "\\" };
const unescaped = (text: string): string => text.replace(/\\([ntr\\])/g, (_, letter) => ESCAPES[letter]!);

/** A value as it would be typed. */
export function valueText(value: unknown): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  if (!Array.isArray(value)) return typeof value === "object" ? JSON.stringify(value) : String(value);
  return value
    .map((item) => (Array.isArray(item) ? item.join("=") : typeof item === "string" ? JSON.stringify(item) : item))
    .join(",")
    .replaceAll("=-Infinity", "=-inf");
}

/** The option that turns on what this one is about: the first of its group, or itself. */
function mainOf(name: string): string {
  const [group, part] = OPTIONS[name]!.path.split(".");
  if (part === undefined) return name;
  return Object.keys(OPTIONS).find((one) => OPTIONS[one]!.path.startsWith(`${group}.`))!;
}

/** What cannot be had together, in a sentence that begins with the two names. */
export function contradiction(settings: Settings): string | undefined {
  const given = (group: string) => [...settings.keys()].find((name) => OPTIONS[name]!.path.startsWith(`${group}.`));
  const [one, two] = ["grammar", "regex", "schema"].filter((name) => settings.has(name));
  if (two) return `${one} and ${two} exclude each other: a text is held to one of them`;
  for (const name of settings.keys()) {
    const main = mainOf(name);
    if (!settings.has(main)) return `${name} needs ${main}`;
  }
  const mirostat = given("mirostat");
  const other = Object.entries(OPTIONS).find(
    ([name, { off }]) => off !== undefined && settings.has(name) && settings.get(name) !== off,
  );
  if (mirostat && other)
    return `${mirostat} and ${other[0]} exclude each other: mirostat decides itself which tokens are kept`;
  const varied = mirostat ?? (settings.get("dynamic-temp") === 0 ? undefined : given("dynamicTemperature"));
  if (varied && settings.get("temp") === 0)
    return `${varied} and temp 0 exclude each other: at temperature 0 nothing is drawn`;
  return undefined;
}

/** The settings as the library has them. */
export function generateOptions(settings: Settings): GenerateOptions {
  const options: Record<string, unknown> = {};
  for (const [name, value] of settings) {
    const [option, part] = OPTIONS[name]!.path.split(".") as [string, string?];
    if (part === undefined) options[option] = value;
    else options[option] = { ...(options[option] as object | undefined), [part]: value };
  }
  return options;
}

/** A seed, chosen here if nobody did, so that it is known when the text is interrupted. 53 bits are easier to copy than 64. */
export const newSeed = (): bigint => crypto.getRandomValues(new BigUint64Array(1))[0]! >> 11n;
