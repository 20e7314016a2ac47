/** The tensors of the fixtures as official checkpoints hold them. It runs in every runtime. */
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import type { TensorInfo } from "../../src/types.ts";
import { openWeights } from "../../src/weights/open.ts";
import { bytesAt } from "../files.ts";

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

export interface Official {
  name: string;
  /** As in official checkpoints, but for leading ones. */
  shape: number[];
  values: Float32Array;
}

/** A fixture's tensors as official checkpoints hold them: low-rank matrices are (inputs, outputs). */
export async function officialTensors(version: string): Promise<Official[]> {
  const file = await openWeights(bytesSource(`v${version}.pth`, await bytesAt(`test/fixtures/v${version}.bf16.pth`)));
  const all: Official[] = [];
  for (const tensor of file.tensors.values()) {
    const shape = [...tensor.shape];
    if (tensor.transposed) shape.push(...shape.splice(-2).reverse());
    all.push({ name: tensor.name, shape, values: await read(tensor) });
  }
  return all;
}
