/** What a planner hands to the engine and to the loader: plain data that crosses to workers. */

import { FORM_EXP, FORM_EXP_MINUS_EXP, FORM_MINUS_EXP, FORM_ONE_MINUS, FORM_X } from "../../assembly/ops.ts";
import type { TensorInfo } from "../types.ts";
import type { WeightType } from "./weight-types.ts";

/** What kernels want of a vector whose official numbers are x, with its number in the engine. */
export const FORMS = {
  x: FORM_X,
  "exp(x)": FORM_EXP,
  "-exp(x)": FORM_MINUS_EXP,
  "exp(-exp(x))": FORM_EXP_MINUS_EXP,
  "1 - x": FORM_ONE_MINUS,
} as const;
export type VectorForm = keyof typeof FORMS;

/** What the numbers of a matrix or a vector are multiplied by: factors of columns (of a vector's numbers), and of rows. */
export interface Scaling {
  readonly columns?: Float32Array;
  readonly rows?: Float32Array;
}

/** A vector in a file: what becomes of its numbers, and how often in a row each of them is wanted. */
export interface VectorSource {
  readonly tensor: TensorInfo;
  readonly form: VectorForm;
  readonly times: number;
  readonly scaling?: Scaling;
}

/** A low-rank change to a matrix, added while that is loaded: + b a * (strength * (alpha / rank)). */
export interface Merge {
  /** [rank, inputs] and [outputs, rank], as floats. */
  readonly a: TensorInfo;
  readonly b: TensorInfo;
  readonly rank: number;
  readonly alpha: number;
  readonly strength: number;
  /** What the file has multiplied the matrix by already, and the change has not been: a power of 2. */
  readonly scaled: number;
}

/** What becomes of a matrix while it is loaded, besides its type. */
export interface Change {
  readonly merge?: Merge;
  /** After merging. What keeps its type is rounded to it. */
  readonly scaling?: Scaling;
  /** Scales of q4_0 and q5_0 are searched for, not those of GGML. */
  readonly searched?: boolean;
}

/** An order to the engine: bring this tensor to this place. `count`: numbers in memory. */
export type Load = { bytes: number } & (
  | ({
      kind: "matrix";
      tensor: TensorInfo;
      type: WeightType;
      address: number;
      rows: number;
      columns: number;
    } & Change)
  | ({ kind: "vector"; address: number; count: number } & VectorSource)
  | { kind: "table"; tensor: TensorInfo; type: WeightType; address: number; rows: number; columns: number }
);

/** A part of a session's state. */
export interface StatePart {
  readonly name: string;
  /** Where it starts in a slot, in bytes. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** What a fresh session has there. */
  readonly fill: number;
}

/** All that the engine needs in order to run a model. Plain data: it crosses to workers. */
export interface EngineSpec {
  /** Bytes that must exist from the start, and the most that may be needed. */
  readonly bytes: number;
  readonly maximumBytes: number;
  readonly ranks: number;
  readonly team: number;
  readonly batch: number;
  readonly program: number;
  readonly image: Uint32Array;
  /** Most tokens, and most rows of logits, in one run. */
  readonly rows: number;
  readonly heads: number;
  /** List of the addresses of the rows whose logits are wanted. */
  readonly headList: number;
  readonly x: number;
  readonly xStride: number;
  readonly logits: number;
  readonly logitsStride: number;
  readonly vocab: number;
  /** Room to sample in. */
  readonly samplerWork: number;
  readonly samplerWorkBytes: number;
  /** Room for the score of one token. */
  readonly score: number;
  /** What a generation needs for its sampler, from the end of memory. */
  readonly samplerBytes: number;
  /** A u32 per session: the address of its slot, so that a host that shares the memory can rescue it. */
  readonly directory: number;
  readonly places: number;
  /** Those at the end are for states that are kept: so many. */
  readonly cached: number;
  /** How many of these are for sessions that were asked for; the rest is for those that something else needs. */
  readonly sessions: number;
  /** Where memory begins to come and go: states and samplers. */
  readonly heap: number;
  readonly slotBytes: number;
  readonly state: readonly StatePart[];
  /** Where the last layer's output of the last token is kept in a slot. */
  readonly hidden: number;
  readonly width: number;
  /** The norm of the head, for whoever wants its input, and room for one row of that. */
  readonly norm: { readonly weight: number; readonly bias: number; readonly eps: number };
  readonly normed: number;
  /** How many ranks pack weights while loading; each has a work place. */
  readonly packers: number;
  /** Where the first rank's is, and how far from one to the next: LANDINGS pieces as they come, then room to convert one. */
  readonly staging: number;
  readonly stagingStride: number;
  /** Most bytes of a piece as it comes. */
  readonly stagingBytes: number;
  /** Where in a work place there is room for changing matrices; see `changeRoom`. */
  readonly changing: number;
  /** Where the half a of a low-rank change is, as packed f32, while a matrix is merged with it. */
  readonly merging: number;
  /** What the model itself takes: weights only, and everything. */
  readonly weightBytes: number;
  /** Whether the weights are more than the caches are reckoned to hold. */
  readonly far: boolean;
}

/** Pieces that a work place has room for: one is read while another is packed. */
export const LANDINGS = 2;

/** A slot begins with the position, then come the parts. */
export const SLOT_POSITION = 0;
