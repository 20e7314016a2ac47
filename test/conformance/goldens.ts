/**
 * The hashes that are the same everywhere, in every runtime, with any number of threads and every build of the kernels; docs/runtimes.md
 * has them as a table. When a change moves bits on purpose, NUMERICS in assembly/ops.ts goes up and these change with it.
 */
import type { LoadOptions } from "rwkv-wasm";

export interface Golden {
  readonly name: string;
  /** From the repository's root. */
  readonly file: string;
  readonly weights?: LoadOptions["weights"];
  /** Hashes over the logits after each of `TOKENS` tokens, and over the state after the last. */
  readonly logits: string;
  readonly state: string;
  /** A hash over the text that seed 1 writes, and what it begins with. */
  readonly text: string;
}

export const TOKENS = 200;

const SMALL = "test/fixtures/v7";
export const GOLDEN: readonly Golden[] = [
  { name: "f32", file: `${SMALL}.f32.gguf`, logits: "9a8734f9", state: "756990d2", text: "93102c9c" },
  { name: "f16", file: `${SMALL}.f16.gguf`, logits: "cf479b4d", state: "9211e7a7", text: "93102c9c" },
  { name: "bf16", file: `${SMALL}.f32.gguf`, weights: "bf16", logits: "9a8734f9", state: "756990d2", text: "93102c9c" },
  { name: "q8_0", file: `${SMALL}.q8_0.gguf`, logits: "eee0ecab", state: "6e080303", text: "43fea3f6" },
  {
    name: "q8_0 converted",
    file: `${SMALL}.f32.gguf`,
    weights: "q8_0",
    logits: "eee0ecab",
    state: "6e080303",
    text: "43fea3f6",
  },
  {
    name: "the shipped model",
    file: "weights/stories-7m.q8_0.gguf",
    logits: "cc663f5f",
    state: "a287e2cd",
    text: "ef4c3e84",
  },
];
