/**
 * From a file's tensors to official ones: what every way of naming tensors has in common. The official names are those of
 * BlinkDL's checkpoints (github.com/BlinkDL/RWKV-LM), which the model's plans use whatever the file. `names-*.ts` say, for
 * each way of naming, what a name stands for; here the answer becomes `TensorInfo`s.
 */
import { RwkvError } from "../errors.ts";
import type { DType, Form, Source, TensorInfo } from "../types.ts";
import { bytesOf, isDType } from "./dtype.ts";
import { refuseNewer } from "./newer.ts";

/** A tensor as a container describes it. */
export interface FileTensor {
  readonly name: string;
  /** By GGML's names, or by the container's own name if no reader here takes such numbers. */
  readonly dtype: DType | (string & {});
  /** Sizes as in the file, slowest first. */
  readonly shape: readonly number[];
  /** True for a matrix whose columns follow one another in the file, not its rows: a turned view of another one. */
  readonly turned?: boolean;
  readonly source: Source;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * What becomes of the sizes:
 * - `vector`: one size, whatever the shape in the file;
 * - `heads`: numbers per head or per channel: (heads) or (heads, head size) if the file has them so, else one size;
 * - `matrix`: two sizes, (outputs, inputs);
 * - `matrices`: three, (how many, outputs, inputs).
 */
export type Kind = "vector" | "heads" | "matrix" | "matrices";

/** What a name in a file stands for. */
export interface Target {
  readonly kind: Kind;
  /** Official names. Several: the tensor is cut into equal parts, in this order. */
  readonly names: readonly string[];
  /** The file holds (inputs, outputs). */
  readonly transposed?: boolean;
  readonly form?: Form;
}

/** Answers what a name stands for, if anything. */
export type Naming = (name: string) => Target | undefined;

/** The first layer has no value residual; files may hold placeholders for one. */
const UNUSED = /^blocks\.0\.att\.v[012]$/;

/**
 * A file's tensors by official name, and the names that mean nothing here.
 *
 * Errors: `weights` when two tensors claim one name, or a shape cannot be what the name says; `unsupported` for numbers of a
 * format that is not read, for models that are newer, and for files without any RWKV tensor.
 */
export function nameTensors(
  file: string,
  found: readonly FileTensor[],
  naming: Naming,
): { tensors: Map<string, TensorInfo>; unknown: string[] } {
  refuseNewer(
    file,
    found.map((tensor) => tensor.name),
  );
  const tensors = new Map<string, TensorInfo>();
  const unknown: string[] = [];
  for (const tensor of found) {
    const target = naming(tensor.name);
    if (!target) {
      unknown.push(tensor.name);
      continue;
    }
    for (const info of place(tensor, target)) {
      if (UNUSED.test(info.name)) continue;
      const other = tensors.get(info.name);
      if (other)
        throw new RwkvError(
          "weights",
          `${file}: tensors "${other.fileName}" and "${tensor.name}" both hold ${info.name}`,
        );
      tensors.set(info.name, info);
    }
  }
  if (tensors.size === 0) {
    const what =
      unknown.length === 0 ? "no tensors" : `${unknown.length} tensors, none named as in RWKV ("${unknown[0]}")`;
    throw new RwkvError("unsupported", `${file} holds ${what}; this package runs RWKV models`);
  }
  return { tensors, unknown };
}

function place(tensor: FileTensor, { kind, names, transposed = false, form }: Target): TensorInfo[] {
  const { name, dtype, shape, turned = false, source, offset } = tensor;
  if (!isDType(dtype))
    throw new RwkvError(
      "unsupported",
      `${source.name}: tensor "${name}" is stored as ${dtype}, a type that this reader does not take`,
    );
  const wrong = (problem: string) =>
    new RwkvError("weights", `${source.name}: tensor "${name}" of sizes ${shape.join(" x ")} (${dtype}) ${problem}`);
  const count = shape.reduce((product, n) => product * n, 1) / names.length;
  const bytes = bytesOf(dtype, count);
  if (!bytes) throw wrong(count === 0 ? "is empty" : `cannot be cut into ${names.length} parts`);
  if (turned && kind !== "matrix")
    throw new RwkvError("unsupported", `${source.name}: tensor "${name}" is a turned view of another one; copy it`);
  const sizes = sizesOf(kind, shape, count);
  if (!sizes) throw wrong(`was expected to be a ${kind === "matrix" ? "matrix" : "list of matrices"}`);
  if (transposed) sizes.push(...sizes.splice(-2).reverse());
  return names.map((official, part) => ({
    name: official,
    fileName: name,
    dtype,
    shape: sizes,
    transposed: transposed !== turned,
    ...(form && { form }),
    source,
    offset: offset + part * bytes,
    bytes,
  }));
}

/** The sizes that count, or `undefined` if the shape has too many. */
function sizesOf(kind: Kind, shape: readonly number[], count: number): number[] | undefined {
  if (kind === "vector") return [count];
  if (kind === "heads") {
    const sizes = [...shape];
    while (sizes.length > 1 && sizes.at(-1) === 1) sizes.pop();
    return sizes.length > 2 ? [count] : sizes;
  }
  const rank = kind === "matrix" ? 2 : 3;
  const sizes = [...shape];
  while (sizes.length < rank) sizes.unshift(1);
  while (sizes.length > rank && sizes[0] === 1) sizes.shift();
  return sizes.length === rank ? sizes : undefined;
}

/** A layer's number in a name is written without leading zeros, so that a name means one tensor only. */
export const LAYER = "(0|[1-9]\\d{0,4})";

/** A table's entry, but not what it inherits: a file may well name a tensor `constructor`. */
export function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
