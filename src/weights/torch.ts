/** What a pickle of torch.save is made of: tensors, which are views of storages, in a dictionary by name. */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { isDType } from "./dtype.ts";
import type { FileTensor } from "./names.ts";
import { Nonsense, type Pickle, readPickle } from "./pickle.ts";

/** Types of storages by their name in Python. A type of numbers that is not read keeps its own name. */
/* biome-ignore format: a table */
const STORAGES: Readonly<Record<string, readonly [dtype: string, bytes: number]>> = {
  FloatStorage: ["f32", 4], HalfStorage: ["f16", 2], BFloat16Storage: ["bf16", 2],
  DoubleStorage: ["float64", 8], LongStorage: ["int64", 8], IntStorage: ["int32", 4], ShortStorage: ["int16", 2],
  CharStorage: ["int8", 1], ByteStorage: ["uint8", 1], BoolStorage: ["bool", 1],
};

/** A run of numbers that tensors are views of. */
export class Storage {
  constructor(
    /** By what name the file knows it. */
    readonly key: string,
    readonly dtype: string,
    /** Bytes of one number. */
    readonly width: number,
    /** How many numbers. */
    readonly length: number,
  ) {
    Object.freeze(this);
  }
}

/** A view of a storage. */
class Tensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly sizes: readonly number[],
    readonly strides: readonly number[],
  ) {
    Object.freeze(this);
  }
}

class StorageType {
  constructor(
    readonly dtype: string,
    readonly width: number,
  ) {
    Object.freeze(this);
  }
}

const MOST_DIMS = 8;
const MOST_TENSORS = 1 << 16;
const LONGEST_NAME = 256;

function sizes(value: unknown): number[] {
  const sound = Array.isArray(value) && value.length <= MOST_DIMS && value.every(isSize);
  if (!sound) throw new Nonsense("sizes that are none");
  return [...value];
}

const isSize = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;

/** `torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks, metadata)`. */
function rebuildTensor(...args: unknown[]): Tensor {
  const [storage, offset] = args;
  const [shape, strides] = [sizes(args[2]), sizes(args[3])];
  if (args.length > 7 || !(storage instanceof Storage) || !isSize(offset) || shape.length !== strides.length)
    throw new Nonsense("a tensor that is none");
  return new Tensor(storage, offset, shape, strides);
}

/** `torch._utils._rebuild_parameter(tensor, requires_grad, hooks)`. */
function rebuildParameter(...args: unknown[]): Tensor {
  if (args.length !== 3 || !(args[0] instanceof Tensor)) throw new Nonsense("a parameter that is no tensor");
  return args[0];
}

function orderedDict(...args: unknown[]): Map<unknown, unknown> {
  if (args.length > 0) throw new Nonsense("a dictionary made of something");
  return new Map();
}

/** All that a pickle may name. */
const GLOBALS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["torch._utils._rebuild_tensor", Object.freeze(rebuildTensor)],
  ["torch._utils._rebuild_tensor_v2", Object.freeze(rebuildTensor)],
  ["torch._utils._rebuild_parameter", Object.freeze(rebuildParameter)],
  ["collections.OrderedDict", Object.freeze(orderedDict)],
  ...Object.entries(STORAGES).map(
    ([name, [dtype, bytes]]) => [`torch.${name}`, new StorageType(dtype, bytes)] as const,
  ),
]);

export interface TorchPickle extends Pickle {
  /** By key, in the order of their first use. */
  readonly storages: ReadonlyMap<string, Storage>;
}

/** Reads a pickle of torch.save. Errors: as `readPickle`; `weights` for storages that contradict each other. */
export async function readTorchPickle(file: string, bytes: Uint8Array): Promise<TorchPickle> {
  const storages = new Map<string, Storage>();
  const persistent = (id: unknown): Storage => {
    const [tag, type, key, , length, view] = Array.isArray(id) ? id : [];
    const named = tag === "storage" && typeof key === "string" && key.length <= LONGEST_NAME;
    if (!named || !(type instanceof StorageType) || !isSize(length)) throw new Nonsense("a storage that is none");
    if (view !== undefined && view !== null) throw new Nonsense("a view of a storage, which is not read");
    const known = storages.get(key);
    if (!known) {
      if (!Number.isSafeInteger(length * type.width)) throw new Nonsense(`storage "${key}" is too large`);
      const storage = new Storage(key, type.dtype, type.width, length);
      storages.set(key, storage);
      return storage;
    }
    if (known.dtype !== type.dtype || known.length !== length)
      throw new Nonsense(`storage "${key}" is described in two ways`);
    return known;
  };
  return { ...(await readPickle(file, bytes, GLOBALS, persistent)), storages };
}

/** Dictionaries that training programs put the model's own dictionary into. */
const WRAPPERS = ["state_dict", "model", "module"];
/** What training programs put before names. */
const PREFIX = /^(_forward_module\.|module\.)+/;

/**
 * The tensors of a model as pickled, given what holds the data of each storage.
 *
 * Errors: `weights` for a tensor that reaches beyond its storage; `unsupported` for a pickle that holds no dictionary of
 * tensors, for models converted for one machine by ChatRWKV, and for views that cannot be read as they lie there.
 */
export function tensorsOf(file: string, root: unknown, sourceOf: (storage: Storage) => Source): FileTensor[] {
  const unsupported = (what: string) => new RwkvError("unsupported", `${file} ${what}`);
  let dictionary = root;
  for (let depth = 0; depth < 2 && dictionary instanceof Map; depth++) {
    if ([...dictionary.values()].some((value) => value instanceof Tensor)) break;
    const inner: unknown = WRAPPERS.map((key) => (dictionary as Map<unknown, unknown>).get(key)).find(
      (value) => value instanceof Map,
    );
    if (inner === undefined) break;
    dictionary = inner;
  }
  if (!(dictionary instanceof Map)) throw unsupported("holds no dictionary of tensors; save the model's state_dict");
  if (dictionary.has("_strategy"))
    throw unsupported("was converted by ChatRWKV for one strategy; take the original checkpoint");

  const tensors: FileTensor[] = [];
  for (const [key, value] of dictionary) {
    if (typeof key !== "string" || !(value instanceof Tensor)) continue; // a step count, an optimizer's settings, ...
    if (tensors.length === MOST_TENSORS) throw unsupported(`holds more than ${MOST_TENSORS} tensors`);
    tensors.push(tensorOf(sourceOf(value.storage), key.slice(0, LONGEST_NAME).replace(PREFIX, ""), value));
  }
  return tensors;
}

function tensorOf(source: Source, name: string, tensor: Tensor): FileTensor {
  const { storage, offset, sizes: shape } = tensor;
  const count = shape.reduce((product, n) => product * n, 1);
  const reach = count === 0 ? 0 : tensor.strides.reduce((sum, stride, d) => sum + stride * (shape[d] - 1), offset + 1);
  if (!(reach <= storage.length))
    throw new RwkvError(
      "weights",
      `${source.name}: tensor "${name}" reaches number ${reach} of storage "${storage.key}", which has ${storage.length}; the file is damaged`,
    );
  const layout = layoutOf(tensor);
  if (!layout && isDType(storage.dtype))
    throw new RwkvError(
      "unsupported",
      `${source.name}: tensor "${name}" of sizes ${shape.join(" x ")} has strides ${tensor.strides.join(", ")}; save a contiguous copy of it`,
    );
  return {
    name,
    dtype: storage.dtype,
    shape,
    ...(layout === "turned" && { turned: true }),
    source,
    offset: offset * storage.width,
    bytes: count * storage.width,
  };
}

/** Whether the numbers lie one after the other, or those of a matrix column after column. */
function layoutOf({ sizes: shape, strides }: Tensor): "plain" | "turned" | undefined {
  const dims = shape.map((n, d) => [n, strides[d]]).filter(([n]) => n !== 1);
  const dense = (order: number[][]) => {
    let step = 1;
    return order.every(([n, stride]) => {
      const fits = stride === step;
      step *= n;
      return fits;
    });
  };
  if (shape.includes(0) || dense(dims.toReversed())) return "plain";
  return dims.length === 2 && shape.length === 2 && dense(dims) ? "turned" : undefined;
}
