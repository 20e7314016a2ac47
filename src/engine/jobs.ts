/** What an engine was asked for and has not finished. */

import type { ErrorCode } from "../errors.ts";
import type { Finish, Pooling, Request } from "./protocol.ts";
import type { Trail } from "./trail.ts";

export interface Job {
  readonly id: number;
  /** The session that it moves on; or the slot where it stands itself, of which it holds a reference. */
  readonly place: { readonly session: number } | { slot: number };
  task: Task;
  /** What has still to be fed, from `at`. */
  tokens: Uint32Array;
  at: number;
  /** The last step that it had a part in. */
  served: number;
  /** Set when it cannot go on. */
  failure?: { code: ErrorCode; message: string };
}

export type Task = { readonly kind: "feed" | "forward" } | Scoring | Hidden | Generating;

export interface Scoring {
  readonly kind: "score";
  readonly scored: Scores;
}

/** Scores of tokens that were fed and that the host has not heard of: from token `first` on. */
export interface Scores {
  readonly top: number;
  first: number;
  words: number[];
}

export interface Hidden {
  readonly kind: "hidden";
  readonly pooling: Pooling;
  /** Over the tokens so far. */
  readonly sum: Float64Array<ArrayBuffer>;
}

export interface Generating {
  readonly kind: "generate";
  /** What was asked for. */
  readonly wanted: Request & { kind: "generate" };
  readonly trail: Trail;
  /** `performance.now()` at which it has to stop. */
  readonly deadline: number;
  /** Address of the sampler's area, 0 while there is none. */
  sampler: number;
  /** Whether the prompt has been read. */
  begun: boolean;
  /** How many generated tokens the session has taken in. */
  fed: number;
  /** How many tokens it may generate before it waits for its reader. */
  until: number;
  /** Tokens that the host has not heard of. */
  out: number[];
  /** The scores that go with them; those of the prompt, until it has been read. */
  words: number[];
  readonly scored?: Scores;
  ended?: Finish;
  /** Whether the host knows that it ended. */
  told: boolean;
}

export const left = (job: Job): number => job.tokens.length - job.at;

/** Whether there is anything to compute for it now. */
export function runs({ task }: Job): boolean {
  if (task.kind !== "generate") return true;
  return !task.ended && (!task.begun || task.trail.said < task.until);
}
