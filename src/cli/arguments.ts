/**
 * What stands between the words of a command line and their use: unknown options, missing values and numbers out of range are
 * refused before anything is loaded. citty lets them pass.
 */

import { parseArgs } from "node:util";
import type { ArgsDef, CommandDef } from "citty";

/** What a command was given: its options and words by name. `checkArguments` has made sure that they are text; switches are not among them. */
export type Arguments = Readonly<Record<string, string | undefined>>;
/** The switches that were given. */
export type Switches = Readonly<Record<string, boolean | undefined>>;

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
export function checkArguments(name: string, { args }: CommandDef, words: string[]): void {
  const known = Object.entries(args as ArgsDef);
  const positional = known.filter(([, { type }]) => type === "positional");
  const options = Object.fromEntries(
    known
      .filter(([, { type }]) => type !== "positional")
      .map(([option, { type }]) => [option, { type: type === "boolean" ? type : ("string" as const) }]),
  );
  const { tokens } = parseArgs({ args: words, options, strict: false, allowPositionals: true, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    if (!Object.hasOwn(options, token.name)) throw new UsageError(`unknown option ${token.rawName}`, name);
    const isSwitch = options[token.name]!.type === "boolean";
    if (isSwitch && token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`, name);
    if (!isSwitch && token.value === undefined) throw new UsageError(`${token.rawName} needs a value`, name);
  }
  const values = tokens.filter(({ kind }) => kind === "positional");
  const missing = positional.slice(values.length).find(([, { required }]) => required !== false);
  if (missing) throw new UsageError(`<${missing[0].toUpperCase()}> is missing`, name);
  const extra = values[positional.length];
  if (extra?.kind === "positional") {
    const hint = positional.at(-1)?.[0] === "prompt" ? " (a prompt of several words needs quotes)" : "";
    throw new UsageError(`"${extra.value}" is one word too many${hint}`, name);
  }
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

/** The value of a number option. Throws `UsageError` with what it takes. */
export function numberOf(command: string, option: string, text: string, range: Range): number {
  const { low, high, above, integer } = range;
  const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
  const fits = (above ? value > low : value >= low) && value <= high && (!integer || Number.isInteger(value));
  if (!fits) throw new UsageError(`--${option} must be ${rangeText(range)}, not "${text}"`, command);
  return value;
}
