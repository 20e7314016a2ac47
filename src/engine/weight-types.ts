/** The types of weights: how many bytes each takes in a file and in memory. assembly/tiles.ts has the same of the kernels' side. */

import { BLOCK, PIECE, T_Q7_0, TILE_HALVES, TILE_MINIMUM, TILE_SYMMETRIC } from "../../assembly/ops.ts";
import type { DType } from "../types.ts";
import { DTYPES } from "../weights/dtype.ts";

/** The types that weights can have in memory, with their number in the engine. */
export type WeightType = DType | "q7_0";
export const WEIGHT_TYPES = {
  ...(Object.fromEntries(Object.entries(DTYPES).map(([name, { id }]) => [name, id])) as Record<DType, number>),
  q7_0: T_Q7_0,
} as const satisfies Record<WeightType, number>;

/** The types that weights can be converted to. */
export const TARGET_TYPES: readonly WeightType[] = [
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q7_0",
  "q5_1",
  "q5_0",
  "q4_1",
  "q4_0",
];

/** How the tiles of a quantised type look in memory, a TILE_* number; 0 for floats. See assembly/blocks.ts. */
export function tileKind(type: WeightType): number {
  switch (type) {
    case "f32":
    case "f16":
    case "bf16":
      return 0;
    case "q4_1":
    case "q5_1":
    case "q4_k":
    case "q5_k":
      return TILE_MINIMUM;
    case "q2_k":
    case "q3_k":
    case "q6_k":
      return TILE_HALVES;
    default:
      return TILE_SYMMETRIC;
  }
}

/** Are the codes stored two to a byte? */
export const tileNibbles = (type: WeightType): boolean => type === "q4_0" || type === "q4_1" || type === "q4_k";

/** Bytes of one row in a file's layout. */
export const storedRow = (type: WeightType, columns: number): number => {
  const { values, bytes } = type === "q7_0" ? { values: 32, bytes: 36 } : DTYPES[type];
  return Math.ceil(columns / values) * bytes;
};
/** Bytes of a packed matrix. */
export const packedBytes = (type: WeightType, rows: number, columns: number): number => {
  const kind = tileKind(type);
  const piece = kind
    ? Math.ceil(columns / BLOCK) * 4 * ((tileNibbles(type) ? 128 : 256) + 32 * kind)
    : columns * PIECE * (type === "f32" ? 4 : 2);
  return Math.ceil(rows / PIECE) * piece;
};
