/** What the user decides about how a model is kept and run, checked, and as the planner wants it. */

import { type Names, shown } from "../checks.ts";
import type { KernelsOption } from "../engine/given.ts";
import { arrange, MAX_THREADS } from "../engine/host.ts";
import type { PlannerOptions } from "../engine/planner.ts";
import type { Platform } from "../engine/platform.ts";
import { isRecipe, RECIPES, type Recipe, TARGET_TYPES, type WeightType } from "../engine/weight-types.ts";
import { RwkvError } from "../errors.ts";

export interface PlanOptions {
  /** Threads that may compute: 1 to 64, 0 for beside the caller, "auto" (the default) for as many as there are cores, at most 8. Fewer do where that is quicker. */
  threads?: number | "auto";
  /**
   * Convert the large matrices to this type, or by the recipe "q4_mix": docs/formats.md says what each costs. Default: as in the file.
   * Embeddings and small tensors stay exact; with a recipe, small tensors are scaled.
   */
  weights?: WeightType | Recipe;
  /** Which kernels: by detection, or plain SIMD, or relaxed SIMD. All give the same bits. */
  build?: "auto" | "plain" | "relaxed";
  /**
   * The kernels, where the package's own cannot be found: one of `rwkv-wasm/kernels/*.wasm` as a compiled module, bytes or a URL, or a
   * function that is given the name of a build and gives one of these. docs/bundlers.md says more.
   */
  kernels?: KernelsOption;
  /** Most sessions at a time, 1 to 65536. Default 32. */
  sessions?: number;
}

/** Their names. */
export const PLAN_NAMES: Names<PlanOptions> = { threads: 1, weights: 1, build: 1, kernels: 1, sessions: 1 };

/**
 * Tokens in one step when a prompt is read: enough to make each weight serve many tokens, few enough to stay in the cache. Measured with 0.4 billion weights
 * in q8_0, two threads, tokens per second: 344 with 16, 384 with 32, 405 with 64, 396 with 128, 404 with 256; the longer a step, the later an abort is heard.
 */
const ROWS = 64;

/**
 * Finds out what runs where, with which kernels. Throws `input` for options that are out of range, `unsupported` for a build that
 * cannot run here.
 */
export async function arrangementOf(
  own: Platform,
  options: PlanOptions,
  signal?: AbortSignal,
): Promise<{ platform: Platform; arrangement: Awaited<ReturnType<typeof arrange>>; planner: PlannerOptions }> {
  const { threads = "auto", weights, build = "auto", sessions = 32 } = options;
  if (threads !== "auto" && !(Number.isInteger(threads) && threads >= 0 && threads <= MAX_THREADS)) {
    throw new RwkvError(
      "input",
      `threads must be "auto" or an integer from 0 to ${MAX_THREADS}, not ${shown(threads)}.`,
    );
  }
  if (weights !== undefined && !isRecipe(weights) && !TARGET_TYPES.includes(weights)) {
    throw new RwkvError(
      "input",
      `weights must be one of ${[...TARGET_TYPES, ...RECIPES].join(", ")}, not ${shown(weights)}.`,
    );
  }
  if (!["auto", "plain", "relaxed"].includes(build)) {
    throw new RwkvError("input", `build must be "auto", "plain" or "relaxed", not ${shown(build)}.`);
  }
  if (!(Number.isInteger(sessions) && sessions >= 1 && sessions <= 65536)) {
    throw new RwkvError("input", `sessions must be an integer from 1 to 65536, not ${shown(sessions)}.`);
  }
  const platform = await withKernels(own, options.kernels, signal);
  const arrangement = await arrange(platform, threads, build);
  return { platform, arrangement, planner: { rows: ROWS, ranks: arrangement.threads, sessions } };
}

/** The platform, with the kernels given if there are any. */
export async function withKernels(
  platform: Platform,
  given: KernelsOption | undefined,
  signal?: AbortSignal,
): Promise<Platform> {
  if (given === undefined) return platform;
  const { givenKernels } = await import("../engine/given.ts");
  return givenKernels(platform, given, signal);
}
