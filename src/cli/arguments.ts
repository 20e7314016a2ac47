/**
 * What stands between the words of a command line and their use: unknown options, missing values and numbers out of range are
 * refused before anything is loaded. citty, which writes the help, would let them pass.
 */

import { parseArgs } from "node:util";

/** An option or a word of a command, in a form that citty's help understands. */
export interface Arg {
  type: "positional" | "string" | "boolean";
  description: string;
  valueHint?: string;
  default?: string;
  /** Of words: false if it can be left out. */
  required?: boolean;
  /** It may be given several times. */
  multiple?: boolean;
}

export interface Command {
  readonly meta: { readonly name: string; readonly description: string };
  readonly args: Readonly<Record<string, Arg>>;
  run(given: Given): Promise<void>;
}

/** Commands under one name, each loaded when it is asked for; its own name is that of the group and one word more. */
export interface Group {
  readonly meta: Command["meta"];
  readonly commands: Readonly<Record<string, () => Promise<Command | Group>>>;
}

/** What a command was given. */
export interface Given {
  /** Options and words by name; of an option given twice the last. */
  readonly values: Readonly<Record<string, string | undefined>>;
  /** The switches that were given. */
  readonly switches: ReadonlySet<string>;
  /** What options were given that may be given several times. */
  readonly lists: Readonly<Record<string, readonly string[] | undefined>>;
}

/** The command line makes no sense. */
export class UsageError extends Error {
  constructor(problem: string, command?: string) {
    super(`${problem}; see rwkv ${command ? `${command} ` : ""}--help`);
  }
}

/**
 * Throws `UsageError` unless every option is one of the command's and has a value, or none if it is a switch, and there are no
 * more words than it takes.
 */
export function readArguments({ meta: { name }, args }: Command, words: string[]): Given {
  const known = Object.entries(args);
  const positional = known.filter(([, { type }]) => type === "positional");
  const options = Object.fromEntries(
    known
      .filter(([, { type }]) => type !== "positional")
      .map(([option, { type }]) => [option, { type: type === "boolean" ? type : ("string" as const) }]),
  );
  const defaults = known.filter((arg) => arg[1].default !== undefined);
  const values: Record<string, string | undefined> = Object.fromEntries(
    defaults.map(([key, arg]) => [key, arg.default]),
  );
  const switches = new Set<string>();
  const lists: Record<string, string[]> = {};
  let count = 0;
  const { tokens } = parseArgs({ args: words, options, strict: false, allowPositionals: true, tokens: true });
  for (const token of tokens) {
    if (token.kind === "positional") {
      const place = positional[count++];
      if (!place) {
        const hint = positional.at(-1)?.[0] === "prompt" ? " (a prompt of several words needs quotes)" : "";
        throw new UsageError(`"${token.value}" is one word too many${hint}`, name);
      }
      values[place[0]] = token.value;
    }
    if (token.kind !== "option") continue;
    if (!Object.hasOwn(options, token.name)) throw new UsageError(`unknown option ${token.rawName}`, name);
    const isSwitch = options[token.name]!.type === "boolean";
    if (isSwitch && token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`, name);
    if (!isSwitch && token.value === undefined) throw new UsageError(`${token.rawName} needs a value`, name);
    if (isSwitch) switches.add(token.name);
    else if (args[token.name]!.multiple) lists[token.name] = [...(lists[token.name] ?? []), token.value!];
    else values[token.name] = token.value;
  }
  const missing = positional.slice(count).find(([, { required }]) => required !== false);
  if (missing) throw new UsageError(`<${missing[0].toUpperCase()}> is missing`, name);
  return { values, switches, lists };
}

/** The numbers that an option takes. */
export interface Range {
  low: number;
  high: number;
  /** The lowest number itself is not allowed. */
  above?: boolean;
  integer?: boolean;
}

export function rangeText({ low, high, above, integer }: Range): string {
  const lowest = above ? `above ${low}` : `from ${low}`;
  return `${integer ? "an integer" : "a number"} ${lowest}${high < 2 ** 31 - 1 ? ` to ${high}` : ""}`;
}

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** The number that a text says, if it is in the range. */
export function numberIn(text: string, { low, high, above, integer }: Range): number | undefined {
  const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
  const fits = (above ? value > low : value >= low) && value <= high && (!integer || Number.isInteger(value));
  return fits ? value : undefined;
}

/** The words of an option that takes a list with commas, each once. Throws `UsageError` with what it takes. */
export function listOf<T extends string>(command: string, option: string, text: string, known: readonly T[]): T[] {
  const words = text.split(",").map((word) => word.trim());
  const unknown = words.find((word) => !known.includes(word as T));
  if (unknown !== undefined)
    throw new UsageError(`--${option} must be some of ${known.join(", ")}, not "${unknown}"`, command);
  return [...new Set(words as T[])];
}

/** The value of a number option. Throws `UsageError` with what it takes. */
export function numberOf(command: string, option: string, text: string, range: Range): number {
  const value = numberIn(text, range);
  if (value === undefined) throw new UsageError(`--${option} must be ${rangeText(range)}, not "${text}"`, command);
  return value;
}
