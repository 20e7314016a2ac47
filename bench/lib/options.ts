/** Options of the benchmarks: `--name value`, lists with commas. */
import { parseArgs } from "node:util";

/** Reads the options named in `defaults`, all of them text. Anything else on the command line is an error that says so. */
export function options<T extends Record<string, string | undefined>>(defaults: T): T {
  const names = Object.keys(defaults);
  try {
    const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
    return { ...defaults, ...values } as T;
  } catch (error) {
    const known = names.map((name) => `--${name} ${defaults[name] ?? "..."}`).join(" ");
    console.error(`${error instanceof Error ? error.message : error}\nOptions and their defaults: ${known}`);
    process.exit(2);
  }
}

export const list = (text: string): string[] => text.split(",").filter(Boolean);
export const numbers = (text: string): number[] => list(text).map(Number);
