/** RWKV-7 models with random weights as GGUF files with a vocabulary, as large as the official ones. */

import { open } from "node:fs/promises";
import type { KernelModule } from "../engine/converter.ts";
import { convert } from "../model/convert.ts";
import type { ConvertType } from "../model/to-gguf.ts";
import { unpackVocabulary } from "../text/packed.ts";
import { type Shape, synthetic, WORLD } from "./synthetic.ts";

export interface Making {
  /** A build without threads. */
  kernels: KernelModule;
  /** The packed World vocabulary. */
  vocabulary: Uint8Array<ArrayBuffer>;
  seed?: number;
  signal?: AbortSignal;
}

/** Writes one file. What the file system says passes through. */
export async function writeSynthetic(
  path: string,
  name: string,
  size: Omit<Shape, "vocab">,
  type: ConvertType,
  making: Making,
): Promise<void> {
  const file = synthetic("7", { ...size, vocab: WORLD }, `synthetic ${name}`, making.seed);
  const world = await unpackVocabulary(making.vocabulary);
  const tokens = Array.from({ length: WORLD }, (_, id) => world.tokens[id] ?? new Uint8Array());
  const vocabulary = async () => ({ ...world, tokens });
  const output = await open(path, "w");
  try {
    const sink = { write: async (bytes: Uint8Array) => void (await output.writeFile(bytes)) };
    await convert(file, sink, making.kernels, { container: "gguf", type, vocabulary, signal: making.signal });
  } finally {
    await output.close();
  }
}
