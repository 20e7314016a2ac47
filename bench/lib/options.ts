/** Options of the benchmarks: `--name value`, lists with commas. */
import { parseArgs } from "node:util";
import { RECIPES, TARGET_TYPES } from "../../src/engine/weight-types.ts";

/** What a model's matrices can become while it is loaded; "file": what they are in the file. */
export const LOADABLE: readonly string[] = ["file", ...TARGET_TYPES, ...RECIPES];

/**
 * Reads the options named in `defaults`, all of them text. Where the default is a whole number, or several with commas, so must be what is given, none
 * below the least of several, or below 1. `choices`: the words that an option's list may hold. Anything else on the command line is an error that says so.
 */
export function options<T extends Record<string, string | undefined>>(
  defaults: T,
  choices: { readonly [K in keyof T]?: readonly string[] } = {},
): T {
  const names = Object.keys(defaults);
  let given: Record<string, string | undefined>;
  try {
    given = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) }).values;
  } catch (error) {
    const known = names.map((name) => `--${name} ${defaults[name] ?? "..."}`).join(" ");
    refuse(`${error instanceof Error ? error.message : error}\nOptions and their defaults: ${known}`);
  }
  for (const [name, value = ""] of Object.entries(given)) {
    const { [name]: usual = "" } = defaults;
    const words = choices[name];
    const wrong = words && list(value).find((word) => !words.includes(word));
    if (words && (wrong !== undefined || list(value).length === 0))
      refuse(`--${name} takes ${words.join(", ")}${wrong === undefined ? "" : `, not ${wrong}`}`);
    if (!/^\d+(,\d+)*$/.test(usual)) continue;
    const several = usual.includes(",");
    const least = several ? Math.min(...numbers(usual)) : 1;
    const sound = several ? /^\d+(,\d+)*$/.test(value) : /^\d+$/.test(value);
    if (!sound || numbers(value).some((number) => number < least || !Number.isSafeInteger(number)))
      refuse(
        `--${name} takes ${several ? "whole numbers with commas" : "a whole number"} from ${least} on, not ${value}`,
      );
  }
  return { ...defaults, ...given } as T;
}

/** Ends the program with a sentence. */
export function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}

export const list = (text: string): string[] => text.split(",").filter(Boolean);
export const numbers = (text: string): number[] => list(text).map(Number);
