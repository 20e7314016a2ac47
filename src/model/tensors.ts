/** Hands a plan its tensors, with shapes checked, and decides in which type each is kept in memory. */

import type { Matrix, Norm, Planner, Table, Vectors } from "../engine/planner.ts";
import type { Merge, Scaling, VectorForm, VectorSource } from "../engine/spec.ts";
import { TARGET_TYPES, WEIGHT_TYPES, type WeightType } from "../engine/weight-types.ts";
import { RwkvError } from "../errors.ts";
import type { TensorFile, TensorInfo } from "../types.ts";
import type { Prepared } from "./recipes.ts";

/** A vector by name. */
export interface Named {
  name: string;
  /** What the kernels want of its official numbers x; a converter may have done that already. */
  form?: VectorForm;
  /** So many numbers are enough, one for each head: its channels share it. */
  heads?: number;
}

export class Tensors {
  readonly #file: TensorFile;
  readonly #planner: Planner;
  readonly #type: WeightType | Prepared | undefined;
  readonly #merges: ReadonlyMap<string, Merge>;
  /** Whether the whole model stays in the caches. */
  readonly #near: boolean;

  /**
   * `type`: what the large matrices become, all of them or by a recipe; undefined keeps each as it is in the file. `merges`: changes to large matrices, by name;
   * what is changed in a type that cannot be written becomes q8_0.
   */
  constructor(
    file: TensorFile,
    planner: Planner,
    type?: WeightType | Prepared,
    merges: ReadonlyMap<string, Merge> = new Map(),
  ) {
    this.#file = file;
    this.#planner = planner;
    this.#type = type;
    this.#merges = merges;
    this.#near = [...file.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0) <= planner.near;
  }

  has(name: string): boolean {
    return this.#file.tensors.has(name);
  }

  /** Rows of a matrix, for sizes that only the file knows, such as the rank of a LoRA. */
  rows(name: string): number {
    return this.#get(name).shape[0]!;
  }

  /** Columns likewise. */
  columns(name: string): number {
    return this.#get(name).shape.at(-1)!;
  }

  /** A large matrix of (outputs, inputs). */
  matrix(name: string, rows: number, columns: number): Matrix {
    const tensor = this.#get(name, [rows, columns]);
    const merge = this.#merges.get(name);
    if (merge && tensor.transposed) {
      throw new RwkvError(
        "unsupported",
        `Tensor ${tensor.fileName} in ${this.#file.name} lies column by column, and no LoRA can be merged into it; save a contiguous copy.`,
      );
    }
    // An embedding that is asked for as a matrix is the head.
    const role = name === "emb.weight" ? "head.weight" : name;
    const scaling = this.#scaling(role);
    const kept = typeIn(tensor);
    const wanted = typeof this.#type === "object" ? this.#type.typeOf(role) : this.#type;
    let type = tensor.transposed ? kept : (wanted ?? kept);
    if (merge && !TARGET_TYPES.includes(type)) type = "q8_0";
    const searched = typeof this.#type === "object" && !tensor.transposed;
    return this.#planner.matrix(tensor, rows, columns, type, { merge, scaling, searched });
  }

  /** A small matrix, whose numbers stay exactly what they are, unless they are scaled. */
  small(name: string, rows: number, columns: number): Matrix {
    const tensor = this.#get(name, [rows, columns]);
    const scaling = this.#scaling(name);
    const type = scaling ? floatOf(typeIn(tensor)) : typeIn(tensor);
    return this.#planner.matrix(tensor, rows, columns, quickest(type, this.#near), { scaling });
  }

  /** Several small matrices that the file keeps in one tensor, with float weights. */
  smalls(name: string, count: number, rows: number, columns: number): Matrix[] {
    const tensor = this.#get(name, [count, rows, columns]);
    const type = quickest(floatOf(typeIn(tensor)), this.#near);
    const bytes = tensor.bytes / count;
    return Array.from({ length: count }, (_, i) => {
      const slice = { ...tensor, shape: [rows, columns], offset: tensor.offset + i * bytes, bytes };
      return this.#planner.matrix(slice, rows, columns, type);
    });
  }

  table(name: string, rows: number, columns: number): Table {
    const tensor = this.#get(name, [rows, columns]);
    if (tensor.transposed) throw this.#wrong(tensor, [rows, columns]);
    return this.#planner.table(tensor, rows, columns, typeIn(tensor));
  }

  /** Vectors of `count` numbers, one after another; a name of `undefined` is one of zeros. */
  vectors(count: number, names: readonly (string | Named | undefined)[]): Vectors {
    return this.#planner.vectors(
      count,
      names.map((named) => (named === undefined ? undefined : this.#vector(count, named))),
    );
  }

  norm(name: string, count: number, eps: number): Norm {
    return {
      weight: this.vectors(count, [`${name}.weight`]),
      bias: this.vectors(count, [`${name}.bias`]),
      eps,
    };
  }

  #vector(count: number, named: string | Named): VectorSource {
    const { name, form = "x", heads }: Named = typeof named === "string" ? { name: named } : named;
    const tensor = this.#get(name);
    const size = tensor.shape.reduce((a, b) => a * b, 1);
    if (size !== count && size !== heads) throw this.#wrong(tensor, [count]);
    typeIn(tensor);
    if (tensor.form && tensor.form !== form) {
      throw new RwkvError(
        "unsupported",
        `Tensor ${tensor.fileName} in ${this.#file.name} holds ${tensor.form}, where ${form} is needed.`,
      );
    }
    return { tensor, form: tensor.form ? "x" : form, times: count / size, scaling: this.#scaling(name) };
  }

  #scaling(name: string): Scaling | undefined {
    return typeof this.#type === "object" ? this.#type.equalizer.scalingOf(name) : undefined;
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

/** A tensor's type in memory if it stays as it is. */
function typeIn(tensor: TensorInfo): WeightType {
  if (tensor.dtype in WEIGHT_TYPES)
    return tensor.transposed ? floatOf(tensor.dtype as WeightType) : (tensor.dtype as WeightType);
  throw new RwkvError(
    "unsupported",
    `Tensor ${tensor.fileName} in ${tensor.source.name} is ${tensor.dtype}; this version reads ${Object.keys(WEIGHT_TYPES).join(", ")}.`,
  );
}

/** The float type that holds the same numbers and is the quickest to multiply with: in caches f32 is read faster than others are widened. */
function quickest(type: WeightType, near: boolean): WeightType {
  return (type === "f16" || type === "bf16") && near ? "f32" : type;
}

/** The float type that holds the same numbers. Transposed matrices and parts of inputs cannot be had in blocks. */
function floatOf(type: WeightType): WeightType {
  return type === "f16" || type === "bf16" ? type : "f32";
}
