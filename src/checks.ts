/** Checks of what callers hand in: the message names the option, what it may be, and what it was. */

import { RwkvError } from "./errors.ts";

export interface Range {
  low: number;
  high: number;
  /** The lowest is not itself allowed. */
  open?: boolean;
  integer?: boolean;
}

/** A value as messages show it. */
export function shown(value: unknown): string {
  if (typeof value === "string") return `"${value.length > 40 ? `${value.slice(0, 40)}...` : value}"`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? "an array" : "an object";
}

/** The number, or the fallback for undefined. Throws `RwkvError` "input". */
export function numberOption(
  name: string,
  value: unknown,
  fallback: number,
  { low, high, open, integer }: Range,
): number {
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
    `${name} must be ${integer ? "an integer" : "a number"} from ${range}, not ${shown(value)}.`,
  );
}

/** True or false; false for undefined. Throws `RwkvError` "input". */
export function booleanOption(name: string, value: unknown): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  throw new RwkvError("input", `${name} must be true or false, not ${shown(value)}.`);
}

/** Throws `RwkvError` "input" unless every item is the id of one of `vocab` tokens; `name`: "stopTokens". */
export function tokenIds(name: string, one: string, value: unknown, vocab: number): number[] {
  if (!Array.isArray(value))
    throw new RwkvError("input", `${name} must be an array of token ids, not ${shown(value)}.`);
  return Array.from(value, (token) => numberOption(one, token ?? null, 0, { low: 0, high: vocab - 1, integer: true }));
}

/** Whether a value is an object as literals make them, of any realm: not an array, a Set, a Date, ... */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * The options within an option, such as those of `dry`; undefined if it is not given. Throws `RwkvError` "input" when it is no object
 * or has a name that is not in `names`.
 */
export function optionsOf<T extends object>(
  name: string,
  value: T | undefined,
  names: readonly (keyof T & string)[],
): T | undefined {
  if (value === undefined) return undefined;
  const kinds = `an object with any of ${names.join(", ")}`;
  if (!isRecord(value)) {
    throw new RwkvError("input", `${name} must be ${kinds}, not ${shown(value)}.`);
  }
  const unknown = Object.keys(value).find((key) => !(names as readonly string[]).includes(key));
  if (unknown !== undefined) throw new RwkvError("input", `${name} must be ${kinds}; it has no ${shown(unknown)}.`);
  return value;
}

/** The names of all options of T, each exactly once: the compiler misses none. */
export type Names<T> = Readonly<Record<keyof T & string, 1>>;

/**
 * Throws `RwkvError` "input" unless `options` are an object that has none but these names, with an AbortSignal as `signal` and functions
 * as what begins with "on". `of`: "generate", "load", ...
 */
export function checkOptions<T extends object>(of: string, options: T, names: Names<T>): void {
  optionsOf(`The options of ${of}`, options ?? null, Object.keys(names) as (keyof T & string)[]);
  for (const [name, value] of Object.entries(options)) {
    if (name === "signal") signalOption(value);
    if (/^on[A-Z]/.test(name) && value !== undefined && typeof value !== "function") {
      throw new RwkvError("input", `${name} must be a function, not ${shown(value)}.`);
    }
  }
}

/** An AbortSignal of any realm, or undefined. Throws `RwkvError` "input". */
export function signalOption(value: unknown): AbortSignal | undefined {
  const { addEventListener, throwIfAborted } = (value ?? {}) as Partial<AbortSignal>;
  const fits = typeof addEventListener === "function" && typeof throwIfAborted === "function";
  if (value === undefined || fits) return value as AbortSignal | undefined;
  throw new RwkvError("input", `signal must be an AbortSignal, not ${shown(value)}.`);
}
