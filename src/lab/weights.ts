/** All numbers of a model as float32, by official names: for the reference, which computes with them in float64. */

import { Converter, type KernelModule } from "../engine/converter.ts";
import { RwkvError } from "../errors.ts";
import { type Part, piecesOf } from "../model/pieces.ts";
import type { TensorFile } from "../types.ts";

export interface Tensor {
  /** Slowest first; matrices are (outputs, inputs). */
  readonly shape: readonly number[];
  readonly numbers: Float32Array;
}
export type Weights = ReadonlyMap<string, Tensor>;

/** Most numbers that are held: about what one array of JavaScript takes. Larger models are not for a reference of one thread. */
const MOST = 2 ** 29;

/**
 * Reads a model. Matrices that lie turned in the file are turned back, and what a converter did to numbers is undone.
 * Throws `RwkvError` "unsupported" for a model that is too large, "weights" for numbers that are infinite or NaN.
 */
export async function readWeights(file: TensorFile, kernels: KernelModule, signal?: AbortSignal): Promise<Weights> {
  const total = [...file.tensors.values()].reduce((sum, { shape }) => sum + countOf(shape), 0);
  if (total > MOST)
    throw new RwkvError(
      "unsupported",
      `${file.name} has ${total} numbers; the float64 reference takes models of at most ${MOST}.`,
    );
  const way = { converter: new Converter(kernels), onRead: () => {}, signal };
  const weights = new Map<string, Tensor>();
  for (const [name, tensor] of file.tensors) {
    const numbers = new Float32Array(countOf(tensor.shape));
    const part: Part = { tensor, turned: tensor.transposed };
    let at = 0;
    for await (const bytes of piecesOf(part, "f32", way)) {
      // Pieces lie in a memory that is written again, at any address.
      const piece = new Float32Array(bytes.slice().buffer);
      numbers.set(piece, at);
      at += piece.length;
    }
    weights.set(name, { shape: tensor.shape, numbers });
  }
  return weights;
}

const countOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
