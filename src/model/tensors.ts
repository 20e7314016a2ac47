/** Hands a plan its tensors, with shapes checked, and decides in which type each is kept in memory. */

import {
  type Matrix,
  type Norm,
  type Planner,
  type Table,
  type Vectors,
  WEIGHT_TYPES,
  type WeightType,
} from "../engine/planner.ts";
import { RwkvError } from "../errors.ts";
import type { TensorFile, TensorInfo } from "../types.ts";

export class Tensors {
  readonly #file: TensorFile;
  readonly #planner: Planner;
  readonly #type: WeightType | undefined;

  /** `type`: what the large matrices become; undefined keeps each as it is in the file. */
  constructor(file: TensorFile, planner: Planner, type?: WeightType) {
    this.#file = file;
    this.#planner = planner;
    this.#type = type;
  }

  has(name: string): boolean {
    return this.#file.tensors.has(name);
  }

  /** Rows of a matrix, for sizes that only the file knows, such as the rank of a LoRA. */
  rows(name: string): number {
    return this.#get(name).shape[0]!;
  }

  /** A large matrix of (outputs, inputs). */
  matrix(name: string, rows: number, columns: number): Matrix {
    const tensor = this.#get(name, [rows, columns]);
    const type = typeIn(tensor);
    return this.#planner.matrix(tensor, rows, columns, this.#type ?? type);
  }

  /** A small matrix, which stays exactly as it is. */
  small(name: string, rows: number, columns: number): Matrix {
    const tensor = this.#get(name, [rows, columns]);
    return this.#planner.matrix(tensor, rows, columns, typeIn(tensor));
  }

  table(name: string, rows: number, columns: number): Table {
    const tensor = this.#get(name, [rows, columns]);
    return this.#planner.table(tensor, rows, columns, typeIn(tensor));
  }

  /** Vectors of `count` numbers, one after another; a name of `undefined` is one of zeros. */
  vectors(count: number, names: readonly (string | undefined)[]): Vectors {
    return this.#planner.vectors(
      count,
      names.map((name) => {
        if (name === undefined) return undefined;
        const tensor = this.#get(name);
        const size = tensor.shape.reduce((a, b) => a * b, 1);
        if (size !== count) throw this.#wrong(tensor, [count]);
        typeIn(tensor);
        return tensor;
      }),
    );
  }

  norm(name: string, count: number, eps: number): Norm {
    return {
      weight: this.vectors(count, [`${name}.weight`]),
      bias: this.vectors(count, [`${name}.bias`]),
      eps,
    };
  }

  #get(name: string, shape?: readonly number[]): TensorInfo {
    const tensor = this.#file.tensors.get(name);
    if (!tensor) throw new RwkvError("weights", `${this.#file.name} lacks the tensor ${name}.`);
    if (shape && (tensor.shape.length !== shape.length || shape.some((n, i) => n !== tensor.shape[i]))) {
      throw this.#wrong(tensor, shape);
    }
    return tensor;
  }

  #wrong(tensor: TensorInfo, shape: readonly number[]): RwkvError {
    return new RwkvError(
      "weights",
      `Tensor ${tensor.fileName} in ${this.#file.name} has the shape [${tensor.shape.join(", ")}]; the rest of the model needs [${shape.join(", ")}].`,
    );
  }
}

function typeIn(tensor: TensorInfo): WeightType {
  if (tensor.dtype in WEIGHT_TYPES && !tensor.transposed) return tensor.dtype as WeightType;
  throw new RwkvError(
    "unsupported",
    `Tensor ${tensor.fileName} in ${tensor.source.name} is ${tensor.dtype}${tensor.transposed ? ", transposed" : ""}; this version reads ${Object.keys(WEIGHT_TYPES).join(", ")}.`,
  );
}
