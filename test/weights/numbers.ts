/** What tests compare tensors by: their numbers, turned to (outputs, inputs), against those of the official checkpoints. */
import { createHash } from "node:crypto";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import type { Source, TensorFile, TensorInfo } from "../../src/types.ts";
import { openWeights } from "../../src/weights/open.ts";
import { fixture } from "./support.ts";

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

/** A tensor's bytes as numbers, in the file's order. */
export async function read({ source, offset, bytes, dtype }: TensorInfo): Promise<Float32Array> {
  const data = await source.read(offset, bytes);
  if (dtype === "f32") return new Float32Array(data.buffer);
  assert.is(dtype, "bf16");
  const halves = new Uint16Array(data.buffer);
  const words = Uint32Array.from(halves, (half) => half << 16);
  return new Float32Array(words.buffer);
}

/** A matrix or a list of matrices with each one's rows and columns exchanged. `shape` is the result's. */
export function turned(values: Float32Array, shape: readonly number[]): Float32Array {
  const [rows, columns] = shape.slice(-2);
  const all = new Float32Array(values.length);
  for (let m = 0; m < values.length; m += rows * columns)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) all[m + r * columns + c] = values[m + c * rows + r];
  return all;
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

export interface Official {
  name: string;
  /** As in official checkpoints, but for leading ones. */
  shape: number[];
  values: Float32Array;
}

/** A fixture's tensors as official checkpoints hold them: low-rank matrices are (inputs, outputs). */
export async function officialTensors(version: string): Promise<Official[]> {
  const file = await openWeights(bytesSource(`v${version}.pth`, fixture(`v${version}.bf16.pth`)));
  const all: Official[] = [];
  for (const tensor of file.tensors.values()) {
    const shape = [...tensor.shape];
    if (tensor.transposed) shape.push(...shape.splice(-2).reverse());
    all.push({ name: tensor.name, shape, values: await read(tensor) });
  }
  return all;
}
