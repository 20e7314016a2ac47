/**
 * A text as the end of an address: not its words but what it takes to write them again, which is what was given and the seeds.
 * Whoever opens the link sees the same text being written, because the same seed gives the same text in every runtime.
 */

import { CONTROLS, seedOf } from "./settings.ts";
import type { Passage, Settings } from "./story.ts";

/** What one passage takes. */
export interface Recipe {
  readonly prompt: string;
  readonly seed: bigint;
  readonly settings: Settings;
}

const MARK = "#text=";
/** Addresses longer than this get lost in other programs. */
const LONGEST = 30_000;
const KEYS = Object.keys(CONTROLS) as (keyof Settings)[];

/** The address of this page with the text in it; none if it would be too long. `model`: the fingerprint of whose text it is. */
export function linkTo(passages: readonly Passage[], model: string): string | undefined {
  const recipes = passages.map(({ prompt, versions, chosen }) => {
    const { seed, settings, finish, tokens } = versions[chosen]!;
    const chosenSettings = finish === "stopped" ? { ...settings, maxTokens: tokens } : settings;
    return [prompt, String(seed), ...KEYS.map((key) => chosenSettings[key])];
  });
  const bytes = new TextEncoder().encode(JSON.stringify([model, ...recipes]));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const link = `${location.href.split("#")[0]}${MARK}${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  return link.length <= LONGEST ? link : undefined;
}

/** Reads the end of an address; none if it holds no text. Throws an `Error` if it is damaged: it may have been written by anybody. */
export function recipesIn(hash: string): { model: string; recipes: Recipe[] } | undefined {
  if (!hash.startsWith(MARK)) return undefined;
  try {
    if (hash.length > LONGEST) throw new Error();
    const bytes = atob(hash.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/"));
    const [model, ...parts] = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0))),
    );
    const recipes = parts.map(([prompt, seed, ...values]: unknown[]) => {
      const settings = KEYS.map((key, i) => [key, values[i]]);
      if (typeof prompt !== "string" || typeof seed !== "string" || !values.every(Number.isFinite)) throw new Error();
      return { prompt, seed: seedOf(seed), settings: Object.fromEntries(settings) };
    });
    if (typeof model !== "string" || recipes.length === 0) throw new Error();
    return { model, recipes };
  } catch {
    throw new Error("The text in this page's address is damaged: part of the link may have been lost.");
  }
}
