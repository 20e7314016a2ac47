/** Models of the fixtures as the experiments read them, and what is known of them. */
import { readFileSync } from "node:fs";
import { bytesSource } from "../../src/bytes/source.ts";
import type { Opened } from "../../src/lab/opened.ts";
import { readWeights } from "../../src/lab/weights.ts";
import { configOf } from "../../src/model/config.ts";
import { openWeights } from "../../src/weights/open.ts";

export const VERSIONS = ["4", "5.0", "5.1", "5.2", "6", "7", "7.small"];

const kernels = new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm"));

export async function openBytes(name: string, bytes: Uint8Array): Promise<Opened> {
  const file = await openWeights(bytesSource(name, bytes));
  const config = configOf(file);
  return { name, config, weights: await readWeights(file, kernels) };
}

export const pathOf = (version: string): string =>
  `test/fixtures/v${version}${version === "7.small" ? ".safetensors" : ".bf16.pth"}`;

export const openFixture = (version: string): Promise<Opened> =>
  openBytes(pathOf(version), readFileSync(pathOf(version)));

export interface Expected {
  prompt: number[];
  /** After every token, one after another. */
  logits: Float32Array;
  /** By layer and part. */
  state: Record<string, Float32Array>[];
}

export function expectedOf(version: string): Expected {
  const { prompt, logits, state } = JSON.parse(readFileSync(`test/fixtures/v${version}.expected.json`, "utf8"));
  const numbers = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer);
  return {
    prompt,
    logits: numbers(logits),
    state: state.map((layer: Record<string, string>) =>
      Object.fromEntries(Object.entries(layer).map(([part, base64]) => [part, numbers(base64)])),
    ),
  };
}
