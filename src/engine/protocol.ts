/**
 * The messages between a host and its engine. They are the same whether the engine runs in a team of workers, in one worker or
 * inline, so nothing in them is shared: arrays are copied or handed over.
 */

import type { ErrorCode } from "../errors.ts";
import type { FlatTokens } from "../grammar/trie.ts";
import type { Constraint } from "./constraints.ts";
import type { Sampling } from "./sampler.ts";
import type { EngineSpec, Merge, VectorForm } from "./spec.ts";
import type { WeightType } from "./weight-types.ts";

/**
 * Some rows of a tensor, as the file has them, on their way into memory. What is sent are whole buffers, whose start counts: Deno takes 0.2
 * seconds to send a view of a megabyte. A number is the address where they have landed, in memory that is shared.
 */
export interface Rows {
  kind: "matrix" | "vector" | "table";
  /** For messages. */
  name: string;
  address: number;
  /** Type in the file, and in memory. */
  from: WeightType;
  to: WeightType;
  columns: number;
  /** First of the rows that come, and how many they are. */
  first: number;
  rows: number;
  /** Of a transposed matrix: how many rows it has in all, which are the inputs; the columns are the outputs. */
  inputs?: number;
  /** Of a vector: what becomes of its numbers, and how often each is wanted. */
  form?: VectorForm;
  times?: number;
  /** Of a matrix that is changed while it is loaded: the change's rows of b, for these rows; a is in place. */
  merge?: Pick<Merge, "rank" | "alpha" | "strength"> & {
    name: string;
    from: WeightType;
    data: ArrayBuffer;
  };
  /** Factors of the columns and of these rows, as they lie in the file, as f32. */
  scaling?: { columns?: ArrayBuffer; rows?: ArrayBuffer };
  searched?: boolean;
  /** Numbers of f32, otherwise unchanged, that are bf16 in truth are to be kept so. */
  halve?: boolean;
  data: ArrayBuffer | number;
}

/** What is to be known of weights when all are packed. */
export interface Packed {
  /** In what the fingerprint is a hash over. */
  readonly vectors: readonly { address: number; count: number }[];
  /** Addresses of matrices of f32 that were halved. */
  readonly halved: readonly number[];
}

/** Another session is to stand behind the first `at` of the tokens that are fed, from 1; "marked" says when it does. In ascending order. */
export interface Mark {
  readonly at: number;
  readonly place: number;
}

export type Pooling = "mean" | "last" | "state";

export type Request =
  | { kind: "rows"; job: number; rows: Rows }
  | ({ kind: "seal"; job: number } & Packed)
  | { kind: "open"; job: number; session: number; from?: number }
  | { kind: "close"; session: number }
  /** The bytes of all tokens, before the first generation with a constraint. */
  | { kind: "vocabulary"; tokens: FlatTokens }
  | { kind: "save"; job: number; session: number }
  | { kind: "restore"; job: number; session: number; position: number; state: Float32Array<ArrayBuffer> }
  | { kind: "feed"; job: number; session: number; tokens: Uint32Array; marks?: readonly Mark[] }
  /**
   * Says how likely each of the tokens is, from where a session stands, or from the beginning; see `scores.ts`. The session does not move.
   * Without anything before it, the first token has no score.
   */
  | { kind: "score"; job: number; session?: number; tokens: Uint32Array; top: number }
  /** Gives the last layer's normed output, the mean over the tokens or that of the last one, or the state behind them, in the same way. */
  | { kind: "hidden"; job: number; session?: number; tokens: Uint32Array; pooling: Pooling }
  | { kind: "forward"; job: number; session: number; tokens: Uint32Array }
  | {
      kind: "generate";
      job: number;
      session: number;
      tokens: Uint32Array;
      sampling: Sampling;
      maxTokens: number;
      /** Milliseconds. */
      maxTime: number;
      stopTokens: readonly number[];
      /** What the text must be like. */
      constraint?: Constraint;
      /** Scores are wanted, with so many alternatives; also of the prompt's tokens. */
      scores?: { top: number; prompt: boolean };
      /** The session stays where it is; the generation goes on from there by itself. */
      aside?: boolean;
      marks?: readonly Mark[];
      /** All of the prompt, for whom it counts that may be more than `tokens`. */
      seen?: Uint32Array;
      /** Added to the numbers of the draws. */
      firstStep?: number;
      /** Up to so many tokens are guessed ahead and checked: by where the last `lookup` tokens came before, or as "propose" says. */
      speculate?: { tokens: number; lookup?: number; drafted?: boolean };
      /** Whether it may have to be taken back to a token before its last. */
      keeps: boolean;
      /** As in "pace". */
      until: number;
    }
  /**
   * How far the reader of a generation is. It may generate `until` so many tokens, counted from its first one; it will not be taken
   * back to before the first `read` of them, and hardly to before the first `sure`.
   */
  | { kind: "pace"; job: number; read: number; sure: number; until: number }
  /**
   * Ends a generation, wherever it is, and leaves its session exactly behind the first `keep` of its tokens and the tokens `then`; within
   * its prompt, or without `keep`, where it stands. Every generation is ended so; the answer is "done".
   */
  | { kind: "settle"; job: number; keep?: number; then?: Uint32Array }
  /** What may follow the last token that a generation with `drafted` told of. It waits for this after each of its steps. */
  | { kind: "propose"; job: number; tokens: readonly number[] }
  | { kind: "abort"; job: number };

/** "length": as many tokens as it was to have; "stop": at something that ends the text; "time": its time was over. */
export type FinishReason = "length" | "stop" | "time";

/** Tokens that were guessed and then checked, and those of them that were right, so far. */
export type Guessed = readonly [proposed: number, accepted: number];

/** How a generation ended, and at what. */
export interface Finish {
  readonly finishReason: FinishReason;
  readonly stop?: { readonly token: number };
}

export interface Done {
  kind: "done";
  job: number;
  /** The session's position after the last commit. */
  position?: number;
  state?: Float32Array<ArrayBuffer>;
  hidden?: Float32Array<ArrayBuffer>;
  fingerprint?: string;
  /** The buffers that came with a request for rows, to be used again. */
  spent?: ArrayBuffer[];
  /** The rows are bf16 now. */
  halved?: boolean;
}

export interface Failure {
  kind: "error";
  job: number;
  code: ErrorCode | "aborted";
  message: string;
  position?: number;
}

export type Reply =
  | Done
  | Failure
  | { kind: "ready" }
  | { kind: "tokens"; job: number; tokens: Uint32Array; scores?: Uint32Array; guessed?: Guessed }
  /** Scores of the tokens that were fed, from token `first` on. */
  | { kind: "scores"; job: number; first: number; scores: Uint32Array }
  /** A generation will have no more tokens. Its session is settled when that is asked for. */
  | { kind: "ended"; job: number; finish: Finish }
  | { kind: "fed"; job: number; position: number }
  | { kind: "marked"; job: number; place: number }
  | { kind: "logits"; job: number; logits: Float32Array<ArrayBuffer> };

/** What a follower is asked for: to pack weights, until it is told to follow. */
export type Order = (Request & { kind: "rows" }) | { kind: "join" };

/** The first message to a worker: what it is to be. */
export type Start =
  | { kind: "lead"; module: WebAssembly.Module; memory?: WebAssembly.Memory; spec: EngineSpec }
  | { kind: "follow"; module: WebAssembly.Module; memory: WebAssembly.Memory; spec: EngineSpec; rank: number };

/** One end of a connection that carries these messages. */
export interface Port<Out, In> {
  post(message: Out, transfer?: ArrayBuffer[]): void;
  onMessage(listener: (message: In) => void): void;
}
