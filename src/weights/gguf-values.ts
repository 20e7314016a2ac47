/**
 * Values of a GGUF file's metadata: the types that exist, their numbers in the file, and how each is laid out, for the
 * reader and the writer alike. A value keeps its type, so that what was read can be written back bit for bit.
 * (github.com/ggml-org/ggml, docs/gguf.md.)
 */

type Small = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64";
type Large = "u64" | "i64";

/** A type of fixed size. */
export type GgufScalar = Small | Large | "bool";

export type GgufValue =
  | { readonly type: Small; readonly value: number }
  | { readonly type: Large; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "array"; readonly of: "string"; readonly value: readonly string[] }
  /** Booleans are 0 and 1. */
  | { readonly type: "array"; readonly of: Small | "bool"; readonly value: GgufNumbers }
  | { readonly type: "array"; readonly of: Large; readonly value: BigInt64Array | BigUint64Array };

/** Numbers of one type, as compact as in the file. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** What the reader and the writer need of an array of any scalar type. */
export interface NumberList {
  readonly length: number;
  [index: number]: number | bigint;
}

interface Layout {
  /** The type's number in the file. */
  readonly id: number;
  /** Bytes of one value. */
  readonly bytes: number;
  readonly get: (view: DataView, at: number) => number | bigint;
  readonly set: (view: DataView, at: number, value: number | bigint) => void;
  readonly list: (length: number) => NumberList;
}

const small = (
  id: number,
  bytes: number,
  get: (view: DataView, at: number) => number,
  set: (view: DataView, at: number, value: number) => void,
  list: (length: number) => GgufNumbers,
): Layout => ({ id, bytes, get, set: set as Layout["set"], list: list as Layout["list"] });

const large = (
  id: number,
  get: (view: DataView, at: number) => bigint,
  set: (view: DataView, at: number, value: bigint) => void,
  list: (length: number) => BigInt64Array | BigUint64Array,
): Layout => ({ id, bytes: 8, get, set: set as Layout["set"], list: list as Layout["list"] });

/* biome-ignore format: a table */
export const SCALARS: Readonly<Record<GgufScalar, Layout>> = {
  u8: small(0, 1, (v, at) => v.getUint8(at), (v, at, x) => v.setUint8(at, x), (n) => new Uint8Array(n)),
  i8: small(1, 1, (v, at) => v.getInt8(at), (v, at, x) => v.setInt8(at, x), (n) => new Int8Array(n)),
  u16: small(2, 2, (v, at) => v.getUint16(at, true), (v, at, x) => v.setUint16(at, x, true), (n) => new Uint16Array(n)),
  i16: small(3, 2, (v, at) => v.getInt16(at, true), (v, at, x) => v.setInt16(at, x, true), (n) => new Int16Array(n)),
  u32: small(4, 4, (v, at) => v.getUint32(at, true), (v, at, x) => v.setUint32(at, x, true), (n) => new Uint32Array(n)),
  i32: small(5, 4, (v, at) => v.getInt32(at, true), (v, at, x) => v.setInt32(at, x, true), (n) => new Int32Array(n)),
  f32: small(6, 4, (v, at) => v.getFloat32(at, true), (v, at, x) => v.setFloat32(at, x, true), (n) => new Float32Array(n)),
  bool: small(7, 1, (v, at) => v.getUint8(at), (v, at, x) => v.setUint8(at, x), (n) => new Uint8Array(n)),
  u64: large(10, (v, at) => v.getBigUint64(at, true), (v, at, x) => v.setBigUint64(at, x, true), (n) => new BigUint64Array(n)),
  i64: large(11, (v, at) => v.getBigInt64(at, true), (v, at, x) => v.setBigInt64(at, x, true), (n) => new BigInt64Array(n)),
  f64: small(12, 8, (v, at) => v.getFloat64(at, true), (v, at, x) => v.setFloat64(at, x, true), (n) => new Float64Array(n)),
};

export const STRING_ID = 8;
export const ARRAY_ID = 9;

/** The magic `GGUF`, as a little-endian number. */
export const MAGIC = 0x46554747;

/** The metadata key that says where data may start, and what holds when it is absent. */
export const ALIGNMENT_KEY = "general.alignment";
export const DEFAULT_ALIGNMENT = 32;

const BY_ID: ReadonlyMap<number, GgufScalar> = new Map(
  Object.entries(SCALARS).map(([type, { id }]) => [id, type as GgufScalar]),
);

/** The scalar type that a number in the file stands for. */
export function scalarOf(id: number): GgufScalar | undefined {
  return BY_ID.get(id);
}
