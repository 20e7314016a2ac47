/**
 * The host's end of an engine: starts it in one of three ways, sends requests, matches replies to promises.
 *
 * - team: workers with shared memory, the first one leads; the host only waits.
 * - worker: one worker with memory of its own, where memory cannot be shared (a page that is not cross-origin isolated).
 * - inline: beside the caller, in short steps, where there are no workers or none are wanted.
 */

import { relaxedSimd, threads as wasmThreads } from "wasm-feature-detect";
import {
  CALL_BYTES,
  CALL_EPOCH,
  TEAM_ABORT,
  TEAM_BYTES,
  TEAM_CALLS,
  TEAM_PHASE,
  TEAM_POISON,
} from "../../assembly/ops.ts";
import { RwkvError } from "../errors.ts";
import type { FlatTokens } from "../grammar/trie.ts";
import type { Build } from "./kernels.ts";
import { createMemory } from "./memory.ts";
import type { Platform, WorkerHandle } from "./platform.ts";
import type { Done, Finish, Guessed, Packed, Port, Reply, Request, Rows } from "./protocol.ts";
import { readSlot } from "./slots.ts";
import { type EngineSpec, LANDINGS } from "./spec.ts";

export type Mode = "team" | "worker" | "inline";

/** How an engine will run: decided before anything is loaded. */
export interface Arrangement {
  readonly mode: Mode;
  readonly build: Build;
  /** Ranks that compute. */
  readonly threads: number;
}

/** Most threads that can be asked for. */
export const MAX_THREADS = 64;

/** Decides by detection. `threads`: 0 is inline; `"auto"` is one per core, at most eight. */
export async function arrange(
  platform: Platform,
  threads: number | "auto",
  build: "plain" | "relaxed" | "auto",
): Promise<Arrangement> {
  const teams = async () => platform.spawn && platform.sharesMemory && (await wasmThreads());
  const many = threads === "auto" ? Math.max(1, Math.min(8, platform.cores)) : threads;
  if (platform.only) {
    const { arrangeOnly } = await import("./only.ts");
    return arrangeOnly(platform, platform.only, { threads: many, build, teams: !!(await teams()) });
  }
  const relaxed = build !== "plain" && (await relaxedSimd());
  if (build === "relaxed" && !relaxed) {
    throw new RwkvError(
      "unsupported",
      `This runtime has no relaxed SIMD. Leave \`build\` out: the results are the same.`,
    );
  }
  const kind = relaxed ? "relaxed" : "plain";
  if (many === 0 || !platform.spawn) return { mode: "inline", build: kind, threads: 1 };
  if (!(await teams())) return { mode: "worker", build: kind, threads: 1 };
  return { mode: "team", build: `${kind}-threads`, threads: many };
}

/** What a request may hear before it is done. If one of these throws, the request is stopped and rejected with that error. */
export interface Listener {
  tokens?(tokens: Uint32Array, scores: Uint32Array | undefined, guessed: Guessed | undefined): void;
  /** Scores of tokens that were fed, from token `first` on. */
  scores?(first: number, scores: Uint32Array): void;
  /** There will be no more tokens. */
  ended?(finish: Finish): void;
  logits?(logits: Float32Array<ArrayBuffer>): void;
  /** A mark was reached: another session stands there. */
  marked?(place: number): void;
  /** The session's position after a commit. */
  fed?(position: number): void;
}

interface Pending {
  resolve(done: Done): void;
  reject(error: unknown): void;
  listener: Listener;
  signal?: AbortSignal;
  onAbort?: () => void;
  /** What a listener threw. */
  failure?: { error: unknown };
  /** Of a generation that may wait for its reader: tokens heard, and how many there may be before it does. */
  heard?: number;
  until?: number;
}

/** A generation that the engine has, as whoever reads it sees it. The requests "pace" and "settle" say what the numbers mean. */
export interface Running {
  /** When the session is settled, or the engine failed. */
  readonly done: Promise<Done>;
  /** Tokens of the prompt that did not have to be read. */
  readonly cached?: number;
  pace(read: number, sure: number, until: number): void;
  propose(tokens: readonly number[]): void;
  /** Once. `hurry`: without waiting for the end of a step that is under way. */
  settle(keep: number | undefined, then?: Uint32Array, hurry?: boolean): void;
}

type Body = Request extends infer R ? (R extends { job: number } ? Omit<R, "job"> : never) : never;

/**
 * A place for a piece of a file, from where a rank packs it. In shared memory it can be read there; else whoever reads it sends what was
 * read.
 */
export interface Landing {
  readonly rank: number;
  readonly shared?: { readonly address: number; readonly bytes: Uint8Array };
}

/** Pieces on their way where memory is not shared: one is being read while another is being packed. */
const IN_FLIGHT = 3;

export class EngineHost {
  readonly arrangement: Arrangement;
  readonly #spec: EngineSpec;
  readonly #workers: readonly WorkerHandle[];
  #memory: WebAssembly.Memory | undefined;
  readonly #pending = new Map<number, Pending>();
  #port!: Port<Request, Reply>;
  #jobs = 0;
  #ready!: () => void;
  /** Set when nobody answers any more. */
  #dead: RwkvError | undefined;
  #closed = false;
  /** Followers take orders, until all weights are there. */
  #loading = true;

  /** Starts an engine on workers that were spawned for it; none for an engine beside the caller. */
  static async start(
    platform: Platform,
    arrangement: Arrangement,
    workers: readonly WorkerHandle[],
    module: WebAssembly.Module,
    spec: EngineSpec,
  ): Promise<EngineHost> {
    const memory = arrangement.mode === "team" ? createMemory(spec.bytes, spec.maximumBytes, true) : undefined;
    const host = new EngineHost(arrangement, spec, workers, memory);
    await host.#begin(platform, module);
    return host;
  }

  private constructor(
    arrangement: Arrangement,
    spec: EngineSpec,
    workers: readonly WorkerHandle[],
    memory: WebAssembly.Memory | undefined,
  ) {
    this.arrangement = arrangement;
    this.#spec = spec;
    this.#workers = workers;
    this.#memory = memory;
  }

  async #begin(platform: Platform, module: WebAssembly.Module): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => {
      this.#ready = resolve;
      this.#pending.set(0, { resolve: () => resolve(), reject, listener: {} });
    });
    const [leader, ...followers] = this.#workers;
    if (leader) {
      this.#port = leader;
      this.#workers.forEach((worker, rank) => {
        worker.onDeath((reason) => this.#lost(rank, reason));
      });
      leader.hold(true);
      leader.onMessage((reply) => this.#hear(reply));
      leader.post({ kind: "lead", module, memory: this.#memory, spec: this.#spec });
      followers.forEach((worker, i) => {
        worker.onMessage((reply) => this.#hear(reply));
        // Who listens to a worker is kept alive by it, unless that is said after.
        worker.hold(false);
        worker.post({ kind: "follow", module, memory: this.#memory!, spec: this.#spec, rank: i + 1 });
      });
    } else {
      const [here, there] = pair<Request, Reply>();
      this.#port = here;
      here.onMessage((reply) => this.#hear(reply));
      // Otherwise it is the workers' script that has the engine.
      const { Engine } = await import("./engine.ts");
      new Engine(this.#spec, module, undefined, there, {
        breathe: platform.breathe,
        interval: 0,
        longestStep: 50,
      });
    }
    await ready;
  }

  /** Sends a request; resolves when it is done. An abort rejects with the signal's reason, after the engine let go. */
  request(body: Body, listener: Listener = {}, signal?: AbortSignal, transfer?: ArrayBuffer[]): Promise<Done> {
    return this.#send(body, { listener, signal }, transfer).done;
  }

  /** Places for pieces of files that weights are loaded from: of every rank that packs the first, then of every rank the second. */
  landings(): Landing[] {
    const { packers, staging, stagingStride, stagingBytes } = this.#spec;
    const memory = this.#memory;
    if (!memory) return Array.from({ length: IN_FLIGHT }, () => ({ rank: 0 }));
    return Array.from({ length: packers * LANDINGS }, (_, i) => {
      const rank = i % packers;
      const address = staging + rank * stagingStride + Math.floor(i / packers) * stagingBytes;
      return { rank, shared: { address, bytes: new Uint8Array(memory.buffer, address, stagingBytes) } };
    });
  }

  /** Has a rank pack rows. The buffers are handed over, and are in the answer. */
  pack(rank: number, rows: Rows, signal: AbortSignal, transfer: ArrayBuffer[]): Promise<Done> {
    return this.#send({ kind: "rows", rows }, { listener: {}, signal }, transfer, this.#workers[rank] ?? this.#port)
      .done;
  }

  /** When all is packed; answers a hash over the vectors. From then on the ranks compute. */
  async seal(packed: Packed, signal?: AbortSignal): Promise<string> {
    const { fingerprint } = await this.request({ kind: "seal", ...packed }, {}, signal);
    this.#loading = false;
    for (const follower of this.#workers.slice(1)) follower.post({ kind: "join" });
    return fingerprint!;
  }

  /** Starts a generation. It ends when it is settled; an engine that waits for its reader keeps no process alive. */
  generate(
    body: Omit<Request & { kind: "generate" }, "job" | "kind">,
    listener: Pick<Listener, "tokens" | "ended" | "fed" | "scores" | "marked">,
  ): Running {
    const { job, done } = this.#send({ kind: "generate", ...body }, { listener, heard: 0, until: body.until });
    const post = (request: Request, until?: number) => {
      const pending = this.#pending.get(job);
      if (!pending) return;
      pending.until = until;
      this.#hold();
      this.#port.post(request);
    };
    return {
      done,
      pace: (read, sure, until) => post({ kind: "pace", job, read, sure, until }, until),
      propose: (tokens) => {
        if (this.#pending.has(job)) this.#port.post({ kind: "propose", job, tokens });
      },
      settle: (keep, then, hurry) => {
        post({ kind: "settle", job, keep, then });
        if (hurry) this.#interrupt();
      },
    };
  }

  #send(
    body: Body,
    terms: Omit<Pending, "resolve" | "reject">,
    transfer?: ArrayBuffer[],
    port: Pick<Port<Request, Reply>, "post"> = this.#port,
  ): { job: number; done: Promise<Done> } {
    const job = ++this.#jobs;
    const { signal } = terms;
    if (signal?.aborted) return { job, done: Promise.reject(signal.reason) };
    const gone = this.gone;
    if (gone) return { job, done: Promise.reject(gone) };
    const done = new Promise<Done>((resolve, reject) => {
      const pending: Pending = { resolve, reject, ...terms };
      if (signal) {
        pending.onAbort = () => this.#abort(job);
        signal.addEventListener("abort", pending.onAbort, { once: true });
      }
      this.#pending.set(job, pending);
      this.#hold();
      port.post({ ...body, job } as Request, transfer);
    });
    return { job, done };
  }

  /** The bytes of all tokens, before the first generation with a constraint. */
  vocabulary(tokens: FlatTokens): void {
    if (!this.gone) this.#port.post({ kind: "vocabulary", tokens });
  }

  closeSession(session: number): void {
    if (!this.gone) this.#port.post({ kind: "close", session });
  }

  /**
   * The state of a session at its last commit, even when the engine is dead, if the memory is shared with it.
   * Throws `RwkvError` "engine" where it is lost.
   */
  rescue(session: number): { state: Float32Array<ArrayBuffer>; position: number } {
    const memory = this.#memory;
    if (!memory) throw this.#dead ?? new RwkvError("engine", "The state was lost with the worker that held it.");
    const slot = Atomics.load(new Int32Array(memory.buffer, this.#spec.directory, this.#spec.places), session) >>> 0;
    const position = new Float64Array(memory.buffer, slot, 1)[0]!;
    return { state: readSlot(this.#spec, memory, slot), position };
  }

  /** Whether the engine no longer answers, though nobody closed it. */
  get dead(): boolean {
    return this.#dead !== undefined;
  }

  /** Why there will be no more answers, if so. */
  get gone(): RwkvError | undefined {
    return this.#closed ? new RwkvError("closed", "The model was closed.") : this.#dead;
  }

  /** Stops everything; what is pending is rejected with "closed". The memory goes back as soon as the engine collects it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poison();
    for (const worker of this.#workers) worker.terminate();
    // An engine beside the caller stops when it has nothing left to do.
    if (this.#workers.length === 0) for (const job of this.#pending.keys()) this.#port.post({ kind: "abort", job });
    this.#rejectAll(new RwkvError("closed", "The model was closed."));
    const bytes = this.#memory?.buffer.byteLength ?? 0;
    this.#memory = undefined;
    remind(bytes);
  }

  #abort(job: number): void {
    const pending = this.#pending.get(job);
    if (!pending) return;
    pending.until = undefined;
    this.#port.post({ kind: "abort", job });
    this.#interrupt();
  }

  /** A running step is cut short at its next fence; afterwards the engine finds the message that was sent before this. */
  #interrupt(): void {
    if (this.#memory) {
      Atomics.store(new Int32Array(this.#memory.buffer, this.#spec.team, TEAM_BYTES / 4), TEAM_ABORT / 4, 1);
    }
  }

  #hear(reply: Reply): void {
    if (reply.kind === "ready") {
      this.#pending.delete(0);
      this.#hold();
      this.#ready();
      return;
    }
    const pending = this.#pending.get(reply.job);
    if (!pending) return;
    try {
      if (reply.kind === "tokens") {
        pending.heard! += reply.tokens.length;
        pending.listener.tokens?.(reply.tokens, reply.scores, reply.guessed);
      }
      if (reply.kind === "ended") {
        // Unless it was asked to settle meanwhile: then there is something to come.
        if (pending.until !== undefined) pending.until = 0;
        pending.listener.ended?.(reply.finish);
      }
      if (reply.kind === "scores") pending.listener.scores?.(reply.first, reply.scores);
      if (reply.kind === "marked") pending.listener.marked?.(reply.place);
      if (reply.kind === "logits") pending.listener.logits?.(reply.logits);
      if ("position" in reply && reply.position !== undefined) pending.listener.fed?.(reply.position);
    } catch (error) {
      // A listener that throws ends its job with that error, not the process.
      pending.failure ??= { error };
      if (reply.kind !== "done" && reply.kind !== "error") this.#abort(reply.job);
    }
    if (reply.kind !== "done" && reply.kind !== "error") {
      if (pending.until !== undefined) this.#hold();
      return;
    }
    this.#forget(reply.job);
    if (pending.failure) pending.reject(pending.failure.error);
    else if (reply.kind === "done") pending.resolve(reply);
    else pending.reject(reply.code === "aborted" ? pending.signal!.reason : new RwkvError(reply.code, reply.message));
  }

  #forget(job: number): void {
    const pending = this.#pending.get(job);
    if (pending?.onAbort) pending.signal!.removeEventListener("abort", pending.onAbort);
    this.#pending.delete(job);
    this.#hold();
  }

  /** The process stays alive while something is pending that will come without the program's doing, not longer. */
  #hold(): void {
    const pending = [...this.#pending.values()];
    this.#workers[0]?.hold(pending.some(({ heard = 0, until }) => until === undefined || heard < until));
  }

  #lost(rank: number, reason: string): void {
    if (this.#closed) return;
    this.#poison();
    // Nothing will be computed any more. A leader that lives fails its jobs by itself, and can still hand out states.
    for (const follower of this.#workers.slice(1)) follower.terminate();
    if (rank === 0 || this.#loading) {
      this.#dead = new RwkvError("engine", `The engine's worker died: ${reason}. Load the model again.`);
      this.#rejectAll(this.#dead);
    }
  }

  #poison(): void {
    if (!this.#memory) return;
    const team = new Int32Array(this.#memory.buffer, this.#spec.team, TEAM_BYTES / 4);
    Atomics.store(team, TEAM_POISON / 4, 1);
    Atomics.notify(team, TEAM_PHASE / 4);
    for (let call = TEAM_CALLS; call < TEAM_BYTES; call += CALL_BYTES) {
      // The epoch moves, so that a rank which just read it cannot fall asleep on it.
      Atomics.add(team, (call + CALL_EPOCH) / 4, 1);
      Atomics.notify(team, (call + CALL_EPOCH) / 4);
    }
  }

  #rejectAll(error: RwkvError): void {
    for (const [job, pending] of [...this.#pending]) {
      this.#forget(job);
      pending.reject(error);
    }
  }
}

/**
 * Engines do not count shared memory as memory, and so do not hurry to collect it. They do count buffers: one that is made and
 * dropped unused, of the same size, takes no memory of the system and makes them look.
 */
function remind(bytes: number): void {
  try {
    for (let left = bytes; left > 0; left -= 1 << 30) new ArrayBuffer(Math.min(left, 1 << 30));
  } catch {
    // No room even for that: whoever needs the memory next makes the engine collect it.
  }
}

/** Two ports that lead to each other inside one thread; messages arrive in a microtask, in order. */
function pair<A, B>(): [Port<A, B>, Port<B, A>] {
  let toA: ((message: B) => void) | undefined;
  let toB: ((message: A) => void) | undefined;
  return [
    {
      post: (message) => queueMicrotask(() => toB?.(message)),
      onMessage: (listener) => {
        toA = listener;
      },
    },
    {
      post: (message) => queueMicrotask(() => toA?.(message)),
      onMessage: (listener) => {
        toB = listener;
      },
    },
  ];
}
