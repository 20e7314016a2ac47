/**
 * How numbers are stored in weights files: GGML's types, their numbers in a GGUF file, and their sizes. A type packs
 * `values` numbers into a block of `bytes` bytes, and a row of a matrix is a whole number of blocks.
 * (Numbers and block layouts: ggml.h and ggml-common.h of github.com/ggml-org/llama.cpp.)
 */
import type { DType } from "../types.ts";

export interface DTypeInfo {
  /** The number that stands for the type in a GGUF file. */
  readonly id: number;
  /** Numbers in a block. */
  readonly values: number;
  /** Bytes in a block. */
  readonly bytes: number;
}

/** Every type that the readers know. What the kernels take is the engine's to say. */
export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  f32: { id: 0, values: 1, bytes: 4 },
  f16: { id: 1, values: 1, bytes: 2 },
  q4_0: { id: 2, values: 32, bytes: 18 },
  q4_1: { id: 3, values: 32, bytes: 20 },
  q5_0: { id: 6, values: 32, bytes: 22 },
  q5_1: { id: 7, values: 32, bytes: 24 },
  q8_0: { id: 8, values: 32, bytes: 34 },
  q2_k: { id: 10, values: 256, bytes: 84 },
  q3_k: { id: 11, values: 256, bytes: 110 },
  q4_k: { id: 12, values: 256, bytes: 144 },
  q5_k: { id: 13, values: 256, bytes: 176 },
  q6_k: { id: 14, values: 256, bytes: 210 },
  iq4_nl: { id: 20, values: 32, bytes: 18 },
  iq4_xs: { id: 23, values: 256, bytes: 136 },
  bf16: { id: 30, values: 1, bytes: 2 },
};

const BY_ID: ReadonlyMap<number, DType> = new Map(
  Object.entries(DTYPES).map(([dtype, { id }]) => [id, dtype as DType]),
);

/** Types of GGML that no reader here takes, so that a refusal can say the name. */
const OTHERS: Readonly<Record<number, string>> = {
  4: "q4_2",
  5: "q4_3",
  9: "q8_1",
  15: "q8_k",
  16: "iq2_xxs",
  17: "iq2_xs",
  18: "iq3_xxs",
  19: "iq1_s",
  21: "iq3_s",
  22: "iq2_s",
  24: "i8",
  25: "i16",
  26: "i32",
  27: "i64",
  28: "f64",
  29: "iq1_m",
  31: "q4_0_4_4",
  32: "q4_0_4_8",
  33: "q4_0_8_8",
  34: "tq1_0",
  35: "tq2_0",
  36: "iq4_nl_4_4",
  37: "iq4_nl_4_8",
  38: "iq4_nl_8_8",
  39: "mxfp4",
  40: "nvfp4",
  41: "q1_0",
};

/** Whether a name is that of a type in the table. */
export function isDType(name: string): name is DType {
  return Object.hasOwn(DTYPES, name);
}

/** The type that a GGML number stands for, if it is in the table. */
export function dtypeOf(id: number): DType | undefined {
  return BY_ID.get(id);
}

/** What to call a GGML type number in a message, whether or not it is in the table. */
export function dtypeName(id: number): string {
  return BY_ID.get(id) ?? OTHERS[id] ?? `number ${id}`;
}

/**
 * Bytes that `count` numbers take. `undefined` when they don't fill whole blocks, or when the answer is not a safe
 * integer: the caller knows which tensor to blame.
 */
export function bytesOf(dtype: DType, count: number): number | undefined {
  const { values, bytes } = DTYPES[dtype];
  const total = (count / values) * bytes;
  return Number.isSafeInteger(count) && count >= 0 && count % values === 0 && Number.isSafeInteger(total)
    ? total
    : undefined;
}
