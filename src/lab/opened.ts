/** A model opened for looking inside: all its numbers, its sizes, and its tokenizer. */

import { type ModelSource, sourceOf } from "../api/source.ts";
import { chooseTokenizer } from "../api/tokenizer.ts";
import type { Platform } from "../engine/platform.ts";
import { type Config, configOf } from "../model/config.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { openWeights } from "../weights/open.ts";
import { Reference, type Scan } from "./reference.ts";
import { readWeights, type Weights } from "./weights.ts";

export interface Opened {
  readonly name: string;
  readonly config: Config;
  readonly weights: Weights;
  readonly tokenizer?: Tokenizer;
}

/** Throws `RwkvError` as `load` does, and "unsupported" for a model that is too large to be held in float32. */
export async function openModel(platform: Platform, from: ModelSource, signal?: AbortSignal): Promise<Opened> {
  const source = await sourceOf(platform, from, { signal });
  const file = await openWeights(source, signal);
  try {
    const config = configOf(file);
    const { tokenizer } = await chooseTokenizer(platform, undefined, file, source, config.vocab, signal);
    const weights = await readWeights(file, await platform.kernels("plain"), signal);
    return { name: String(file.facts.get("general.name") ?? file.name), config, weights, tokenizer };
  } finally {
    await file.close();
  }
}

/** Reads tokens from the beginning. What each layer's recurrence was given and gave, token by token. */
export async function scansOf(
  { weights, config }: Opened,
  ids: readonly number[],
  onToken?: (done: number) => Promise<void> | void,
): Promise<Scan[][]> {
  const reference = new Reference(weights, config);
  const scans: Scan[][] = Array.from({ length: config.layers }, () => []);
  for (const [i, id] of ids.entries()) {
    reference.step(id, (layer, scan) => void scans[layer].push(scan));
    await onToken?.(i + 1);
  }
  return scans;
}

/** A token as a person reads it: spaces and line ends seen, parts of characters as bytes. */
export function wordOf(tokenizer: Tokenizer | undefined, id: number): string {
  if (!tokenizer || id === tokenizer.bos) return `#${id}`;
  const bytes = tokenizer.bytes(id);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replaceAll("\n", "↵").replaceAll("\t", "⇥");
  } catch {
    return Array.from(bytes, (byte) => `<${byte.toString(16).padStart(2, "0")}>`).join("");
  }
}
