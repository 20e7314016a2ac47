/** What an engine was asked for and has not finished. */

import type { Failure, Generating, Scores } from "./generating.ts";
import type { Mark, Pooling } from "./protocol.ts";

export interface Job {
  readonly id: number;
  /** The session that it moves on; or the slot where it stands itself, of which it holds a reference. */
  readonly place: { readonly session: number } | { slot: number };
  task: Task;
  /** What has still to be fed, from `at`. */
  tokens: Uint32Array;
  at: number;
  /** Where other sessions are to stand, from the next one on. */
  marks: readonly Mark[];
  /** The last step that it had a part in. */
  served: number;
  /** Set when it cannot go on. */
  failure?: Failure;
}

export type Task = { readonly kind: "feed" | "forward" } | Scoring | Hidden | Generating;

export interface Scoring {
  readonly kind: "score";
  readonly scored: Scores;
}

export interface Hidden {
  readonly kind: "hidden";
  readonly pooling: Pooling;
  /** Over the tokens so far. */
  readonly sum: Float64Array<ArrayBuffer>;
}

export const left = (job: Job): number => job.tokens.length - job.at;

/** Whether there is anything to compute for it now. */
export const runs = ({ task }: Job): boolean => task.kind !== "generate" || task.runs;

/** Which logits a job wants: of every row, in order to copy or to score them; of its last row, in order to draw; none. */
export function wantsOf({ task }: Job): "logits" | "scores" | "draw" | "none" {
  if (task.kind === "forward") return "logits";
  if (scoredOf(task) && !(task.kind === "generate" && task.begun)) return "scores";
  return task.kind === "generate" ? "draw" : "none";
}

/** The scores of what a job feeds, or of its prompt, if they are wanted. */
export const scoredOf = (task: Task): Scores | undefined =>
  task.kind === "score" || task.kind === "generate" ? task.scored : undefined;
