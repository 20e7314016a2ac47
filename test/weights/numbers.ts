/** What tests compare tensors by: their numbers, turned to (outputs, inputs), against those of the official checkpoints. */
import { createHash } from "node:crypto";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import type { Source, TensorFile, TensorInfo } from "../../src/types.ts";
import { read, turned } from "./official.ts";
import { fixture } from "./support.ts";

export { type Official, officialTensors, read, turned } from "./official.ts";

export const VERSIONS = ["4", "5.0", "5.1", "5.2", "6", "7"];

/** From the fixtures: official name to shape (vectors flat) and SHA-256 of the numbers. */
export function official(version: string): Record<string, [shape: number[], sha256: string]> {
  return JSON.parse(new TextDecoder().decode(fixture(`v${version}.tensors.json`)));
}

/** A source over bytes with files beside it. */
export function source(name: string, bytes: Uint8Array, siblings?: Record<string, Uint8Array>): Source {
  if (!siblings) return bytesSource(name, bytes);
  return {
    ...bytesSource(name, bytes),
    sibling: async (beside) =>
      Object.hasOwn(siblings, beside) ? source(beside, siblings[beside], siblings) : undefined,
  };
}

/** A tensor's numbers as (outputs, inputs). */
export async function numbers(tensor: TensorInfo): Promise<Float32Array> {
  const values = await read(tensor);
  return tensor.transposed ? turned(values, tensor.shape) : values;
}

/** Passes if the file holds the fixture's tensors: the same names, shapes and, bit for bit, numbers. */
export async function sameTensors(file: TensorFile, version: string): Promise<void> {
  const expected = official(version);
  assert.equal([...file.tensors.keys()].sort(), Object.keys(expected).sort());
  for (const [name, tensor] of file.tensors) {
    const [shape, sha256] = expected[name];
    assert.is(tensor.name, name);
    assert.equal(shape.length === 1 ? [tensor.shape.reduce((a, b) => a * b)] : tensor.shape, shape, name);
    assert.is(tensor.form, undefined, name);
    const values = await numbers(tensor);
    assert.is(createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex"), sha256, name);
  }
  assert.equal(file.unknown, []);
}
