/**
 * Recipes: which large matrix becomes which type, so that bits go where they count. docs/formats.md has what each costs.
 *
 * `q4_mix`: 4-bit codes whose scales are searched for, in matrices that were equalised before; 5 bits for the head and for the time
 * mixing's value, whose errors cost most for their size; as long as that is at most 5 bits per weight, scales included.
 */
import type { Platform } from "../engine/platform.ts";
import type { Load } from "../engine/spec.ts";
import type { WeightType } from "../engine/weight-types.ts";
import type { TensorFile } from "../types.ts";
import { DTYPES } from "../weights/dtype.ts";
import { Equalizer } from "./equalize.ts";
import { bytesOfAll, type LoadProgress } from "./load.ts";

/** In the order in which they are given more bits. */
const MORE = [/^head\.weight$/, /^blocks\.\d+\.att\.value\.weight$/];
const LARGE = /^(blocks\.\d+\.(att|ffn)\.(receptance|key|value|gate|output)|head)\.weight$/;
/** Bits per weight, on average. */
const MOST_BITS = 5;

/** What a recipe makes of a model. */
export interface Prepared {
  /** What a large matrix becomes; the head, wherever it lies, goes by `head.weight`. */
  readonly typeOf: (name: string) => WeightType & ("q4_0" | "q5_0");
  readonly equalizer: Equalizer;
}

/** Whether a recipe is for a matrix of that name. */
export const isLarge = (name: string): boolean => LARGE.test(name);

/** `file`: a complete model. */
export function prepare(file: TensorFile): Prepared {
  const sizes = new Map<string, number>();
  for (const { name, shape } of file.tensors.values()) if (isLarge(name)) sizes.set(name, shape[0]! * shape[1]!);
  const head = file.tensors.get("head.weight") ?? file.tensors.get("emb.weight");
  if (head) sizes.set("head.weight", head.shape[0]! * head.shape[1]!);
  const total = sum(sizes.values());
  const bits = (type: "q4_0" | "q5_0") => (DTYPES[type].bytes * 8) / DTYPES[type].values;
  let used = total * bits("q4_0");
  const more = MORE.filter((pattern) => {
    const cost = sum([...sizes].map(([name, size]) => (pattern.test(name) ? size : 0))) * (bits("q5_0") - bits("q4_0"));
    if (used + cost > total * MOST_BITS) return false;
    used += cost;
    return true;
  });
  return {
    typeOf: (name) => (more.some((pattern) => pattern.test(name)) ? "q5_0" : "q4_0"),
    equalizer: new Equalizer(file),
  };
}

/** Finds the factors by which a model will be equalised; answers how many bytes it has read. Progress counts loading too. */
export async function measure(
  { equalizer }: Prepared,
  platform: Pick<Platform, "kernels">,
  loads: readonly Load[],
  onProgress?: (progress: LoadProgress) => void,
  signal?: AbortSignal,
): Promise<number> {
  const total = equalizer.bytes + bytesOfAll(loads);
  let loaded = 0;
  const onRead = (bytes: number) => {
    loaded += bytes;
    onProgress?.({ loaded, total });
  };
  await equalizer.measure(await platform.kernels("plain"), onRead, signal);
  return loaded;
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((a, b) => a + b, 0);
