/** The types of weights: how many bytes each takes in a file and in memory. assembly/tiles.ts says the same to the kernels. */

import {
  BLOCK,
  PIECE,
  T_Q7_0,
  TILE_HALVES,
  TILE_MINIMUM,
  TILE_SYMMETRIC,
  TYPES_FLOAT,
  TYPES_HALVES,
  TYPES_MINIMUM,
  TYPES_NIBBLES,
} from "../../assembly/ops.ts";
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

/** Mixtures of types; src/model/recipes.ts says which matrix becomes what. */
export const RECIPES = ["q4_mix"] as const;
export type Recipe = (typeof RECIPES)[number];
export const isRecipe = (name: unknown): name is Recipe => RECIPES.some((recipe) => recipe === name);

/** `types`: one of the sets in assembly/ops.ts. */
const isOneOf = (type: WeightType, types: number): boolean => ((types >>> WEIGHT_TYPES[type]) & 1) === 1;

/** How the tiles of a quantised type look in memory, a TILE_* number; 0 for floats. See assembly/blocks.ts. */
export function tileKind(type: WeightType): number {
  if (isOneOf(type, TYPES_FLOAT)) return 0;
  if (isOneOf(type, TYPES_MINIMUM)) return TILE_MINIMUM;
  return isOneOf(type, TYPES_HALVES) ? TILE_HALVES : TILE_SYMMETRIC;
}

/** Are the codes stored two to a byte? */
export const tileNibbles = (type: WeightType): boolean => isOneOf(type, TYPES_NIBBLES);

/** Bytes of one row in a file's layout. */
export const storedRow = (type: WeightType, columns: number): number => {
  const { values, bytes } = type === "q7_0" ? { values: 32, bytes: 36 } : DTYPES[type];
  return Math.ceil(columns / values) * bytes;
};
/** Bytes of a packed matrix. */
export const packedBytes = (type: WeightType, rows: number, columns: number): number => {
  const kind = tileKind(type);
  const piece = kind
    ? Math.ceil(columns / BLOCK) * 2 * ((tileNibbles(type) ? 256 : 512) + 64 * kind)
    : columns * PIECE * (type === "f32" ? 4 : 2);
  return Math.ceil(rows / PIECE) * piece;
};
