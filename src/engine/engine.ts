/**
 * The engine: owns the memory and the kernels, takes requests, answers with replies. It runs wherever its port leads: in the
 * first worker of a team, in a single worker, or beside the caller. The token loop is here, next to the kernels: a generation
 * needs no round trip to the host per token.
 */

import {
  BATCH_HEADS,
  BATCH_ROWS,
  BATCH_TABLE,
  ROW_BYTES,
  RUN_ABORTED,
  RUN_DONE,
  TEAM_ABORT,
  TEAM_BYTES,
  TEAM_NAPS,
} from "../../assembly/ops.ts";
import { hex8, xxhash32 } from "../bytes/hash.ts";
import { RwkvError } from "../errors.ts";
import { Constraints } from "./constraints.ts";
import { Crew } from "./crew.ts";
import { type Failure, Generating, NUMBERS, type Room, scoreOf } from "./generating.ts";
import { Heap } from "./heap.ts";
import { type Hidden, type Job, left, runs, scoredOf, type Task, wantsOf } from "./jobs.ts";
import { instantiate, type Kernels } from "./kernels.ts";
import { createMemory } from "./memory.ts";
import type { Finish, Mark, Port, Reply, Request } from "./protocol.ts";
import { readSlot, Slots, writeSlot } from "./slots.ts";
import type { EngineSpec } from "./spec.ts";
import { Store } from "./store.ts";

/** What the engine needs from where it runs. */
export interface Surroundings {
  /** Lets messages in: resolves after the event loop went round. */
  breathe(): Promise<void>;
  /** Milliseconds between breaths; 0 breathes after every step. */
  interval: number;
  /** Longest step in milliseconds where an abort cannot reach into a running step; then chunks get shorter. */
  longestStep?: number;
}

/**
 * A job's part in a step: how many of its tokens, and the fresh slot that takes its session on; with guesses behind the token, one for it and
 * for each of them.
 */
interface Share {
  job: Job;
  take: number;
  /** Number of the first of its rows. */
  row: number;
  to: number[];
}

/** A row whose logits are wanted: where it is, and what becomes of them. */
interface Head {
  row: number;
  use(logits: number): void;
}

export class Engine {
  readonly #spec: EngineSpec;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: Kernels;
  readonly #port: Port<Reply, Request>;
  readonly #around: Surroundings;
  readonly #store: Store;
  readonly #crew: Crew;
  readonly #heap: Heap;
  readonly #slots: Slots;
  readonly #room: Room;
  readonly #sessions = new Map<number, number>();
  readonly #jobs: Job[] = [];
  #working = false;
  #broken: RwkvError | undefined;
  /** Milliseconds per row of late, to keep steps short where they cannot be interrupted. */
  #rowTime = 0;
  #steps = 0;

  constructor(
    spec: EngineSpec,
    module: WebAssembly.Module,
    memory: WebAssembly.Memory | undefined,
    port: Port<Reply, Request>,
    around: Surroundings,
  ) {
    this.#spec = spec;
    this.#memory = memory ?? createMemory(spec.bytes, spec.maximumBytes, false);
    this.#kernels = instantiate(module, this.#memory);
    this.#port = port;
    this.#around = around;
    new Uint32Array(this.#memory.buffer, spec.program, spec.image.length).set(spec.image);
    this.#store = new Store(spec, this.#memory, this.#kernels);
    this.#crew = new Crew(spec.ranks);
    this.#heap = new Heap(this.#memory, spec.heap, spec.maximumBytes);
    this.#slots = new Slots(spec, this.#memory, this.#heap);
    this.#room = {
      spec,
      memory: this.#memory,
      kernels: this.#kernels,
      heap: this.#heap,
      slots: this.#slots,
      constraints: new Constraints(),
    };
    const { sampler_bytes, sampler_work } = this.#kernels;
    if (sampler_bytes(spec.vocab) > spec.samplerBytes || sampler_work(spec.vocab) > spec.samplerWorkBytes) {
      throw new RwkvError("engine", `There is no room for the samplers of ${spec.vocab} tokens.`);
    }
    port.onMessage((request) => this.#receive(request));
    port.post({ kind: "ready" });
  }

  // --- Requests -------------------------------------------------------------------------------------------------------

  #receive(request: Request): void {
    try {
      this.#handle(request);
    } catch (error) {
      const { code, message } = known(error);
      if ("job" in request) this.#port.post({ kind: "error", job: request.job, code, message });
    }
  }

  #handle(request: Request): void {
    switch (request.kind) {
      case "rows":
        this.#store.answer(request, this.#port);
        return;
      case "seal": {
        let hash = 0;
        for (const { address, count } of request.vectors) {
          hash = xxhash32(new Uint8Array(this.#memory.buffer, address, count * 4), hash);
        }
        if (this.#spec.far) this.#store.halve(request.halved);
        this.#port.post({ kind: "done", job: request.job, fingerprint: hex8(hash) });
        return;
      }
      case "open": {
        const from = request.from === undefined ? this.#slots.fresh : this.#sessions.get(request.from);
        if (from === undefined) throw new RwkvError("state", "The session to fork could not be restored itself.");
        this.#stand(request.session, this.#slots.retain(from));
        this.#port.post({ kind: "done", job: request.job, position: this.#slots.position(from) });
        return;
      }
      case "vocabulary":
        this.#room.constraints.vocabulary(request.tokens);
        return;
      case "close": {
        const slot = this.#sessions.get(request.session);
        if (slot !== undefined) this.#slots.release(slot);
        this.#sessions.delete(request.session);
        return;
      }
      case "save": {
        const slot = this.#slotOf(request.session);
        const state = readSlot(this.#spec, this.#memory, slot);
        this.#port.post({ kind: "done", job: request.job, state, position: this.#slots.position(slot) }, [
          state.buffer,
        ]);
        return;
      }
      case "restore": {
        const slot = this.#slots.acquire();
        writeSlot(this.#spec, this.#memory, slot, request.state);
        this.#slots.setPosition(slot, request.position);
        this.#stand(request.session, slot);
        this.#port.post({ kind: "done", job: request.job, position: request.position });
        return;
      }
      case "feed":
      case "forward":
        this.#begin(request, { kind: request.kind });
        return;
      case "score":
        this.#begin(request, { kind: "score", scored: { top: request.top, first: 0, words: [] } });
        return;
      case "hidden":
        this.#begin(request, {
          kind: "hidden",
          pooling: request.pooling,
          sum: new Float64Array(this.#spec.width),
        });
        return;
      case "generate":
        this.#begin(request, new Generating(this.#room, request, this.#slotOf(request.session)));
        return;
      case "pace": {
        const { task } = this.#find(request.job) ?? {};
        if (task?.kind !== "generate") return;
        task.until = request.until;
        task.trail.pace(request.read, request.sure);
        this.#wake();
        return;
      }
      case "propose": {
        const { task } = this.#find(request.job) ?? {};
        if (task?.kind !== "generate") return;
        task.propose(request.tokens);
        this.#wake();
        return;
      }
      case "settle":
        this.#settle(request);
        return;
      case "abort": {
        const job = this.#find(request.job);
        if (job) this.#fail(job, "aborted", "aborted");
        return;
      }
    }
  }

  #begin(request: { job: number; session?: number; tokens: Uint32Array; marks?: readonly Mark[] }, task: Task): void {
    if (this.#broken) throw this.#broken;
    const { job: id, session, tokens, marks = [] } = request;
    const from = session === undefined ? this.#slots.fresh : this.#slotOf(session);
    // What is measured does not move the session on: it goes its own way from there.
    const aside = task.kind === "score" || task.kind === "hidden" || (task.kind === "generate" && task.wanted.aside);
    const place = aside ? { slot: this.#slots.retain(from) } : { session: session! };
    this.#jobs.push({ id, place, task, tokens, at: 0, marks, served: 0 });
    this.#wake();
  }

  #settle({ job: id, keep, then = new Uint32Array() }: Request & { kind: "settle" }): void {
    const job = this.#find(id);
    if (job?.task.kind !== "generate") return;
    const { trail, begun } = job.task;
    if (begun && keep !== undefined) {
      const { slot, tokens } = trail.back(keep);
      this.#advance(job, this.#slots.retain(slot));
      job.tokens = Uint32Array.from([...tokens, ...then]);
    } else job.tokens = new Uint32Array();
    job.at = 0;
    job.marks = [];
    job.task.release();
    job.task = { kind: "feed" };
    if (left(job) === 0) this.#done(job);
    else this.#wake();
  }

  #find(id: number): Job | undefined {
    return this.#jobs.find((job) => job.id === id);
  }

  #slotOf(session: number): number {
    const slot = this.#sessions.get(session);
    if (slot === undefined) throw new RwkvError("closed", "The session was closed, or never came to be.");
    return slot;
  }

  /** Moves a session onto a slot, whose reference it takes over. */
  #stand(session: number, slot: number): void {
    const old = this.#sessions.get(session);
    if (old !== undefined) this.#slots.release(old);
    this.#sessions.set(session, slot);
    const directory = new Int32Array(this.#memory.buffer, this.#spec.directory, this.#spec.places);
    Atomics.store(directory, session, slot);
  }

  /** The slot that a job goes on from. */
  #slot({ place }: Job): number {
    return "slot" in place ? place.slot : this.#slotOf(place.session);
  }

  /** Moves a job onto a slot, whose reference it takes over, and its session with it, if it has one. */
  #advance({ place }: Job, slot: number): void {
    if ("session" in place) this.#stand(place.session, slot);
    else {
      this.#slots.release(place.slot);
      place.slot = slot;
    }
  }

  // --- The loop -------------------------------------------------------------------------------------------------------

  #wake(): void {
    if (!this.#working) void this.#work();
  }

  async #work(): Promise<void> {
    this.#working = true;
    let breath = performance.now();
    while (this.#jobs.some(runs)) {
      let whole = true;
      try {
        whole = this.#step();
      } catch (error) {
        this.#break(error);
      }
      if (!whole || performance.now() - breath >= this.#around.interval) {
        this.#flush();
        await this.#around.breathe();
        breath = performance.now();
      }
    }
    this.#flush();
    this.#working = false;
  }

  /**
   * One pass over the weights: some rows of every job that has any, then a token for every generation that is due.
   * False when it was cut short: nothing was committed, and there is a message to hear.
   */
  #step(): boolean {
    const { shares, heads, count } = this.#plan();
    const team = new Int32Array(this.#memory.buffer, this.#spec.team, TEAM_BYTES / 4);
    // The logits of a state that waits for a place among them are computed without any row.
    const rows = Math.max(1, count);
    const ranks = this.#crew.of(rows);
    const naps = team[TEAM_NAPS / 4];
    const started = performance.now();
    const verdict = this.#kernels.lead(this.#spec.program, ranks);
    if (verdict !== RUN_DONE) {
      for (const { to } of shares) for (const slot of to) this.#slots.release(slot);
      if (verdict !== RUN_ABORTED) throw new RwkvError("engine", "A thread of the engine died. Load the model again.");
      Atomics.store(team, TEAM_ABORT / 4, 0);
      this.#crew.gather();
      return false;
    }
    const took = performance.now() - started;
    this.#crew.took(took, rows, team[TEAM_NAPS / 4] !== naps);
    if (count > 0) this.#rowTime = took / count;
    // How far guesses are right is known when tokens were drawn.
    for (const share of shares) if (share.to.length === 1) this.#commit(share);
    heads.forEach(({ use }, i) => {
      use(this.#spec.logits + i * this.#spec.logitsStride);
    });
    for (const share of shares) if (share.to.length > 1) this.#commitGuess(share);
    for (const job of [...this.#jobs]) this.#conclude(job);
    return true;
  }

  /** Decides whose rows are computed in a step, and whose logits, and writes it where the program looks. */
  #plan(): { shares: Share[]; heads: Head[]; count: number } {
    const spec = this.#spec;
    const most = this.#mostRows();
    const shares: Share[] = [];
    const heads: Head[] = [];
    const rows: number[][] = [];
    this.#steps++;
    // Who waited longest comes first, then who needs least; a long prompt fills what a row for each of the others leaves of a step.
    const waiting = this.#jobs.filter((job) => this.#isDue(job));
    waiting.sort((a, b) => a.served - b.served || left(a) - left(b));
    let others = waiting.filter((job) => left(job) > 0).length;
    for (const job of waiting) {
      if (left(job) > 0) others--;
      const { task } = job;
      const slot = this.#slot(job);
      const position = this.#slots.position(slot);
      const due = left(job);
      const wants = wantsOf(job);
      if (due === 0) {
        if (task.kind !== "generate" || heads.length === spec.heads) continue;
        job.served = this.#steps;
        task.guess(0);
        heads.push({ row: slot + spec.hidden, use: (logits) => this.#draw(job, task, 0, logits) });
        continue;
      }
      // The logits in front of the first token are those of the state.
      const before = wants === "scores" && job.at === 0 && position > 0 ? 1 : 0;
      const room = spec.heads - heads.length - before;
      const free = most - rows.length;
      const [mark] = job.marks;
      let take = Math.min(due, free, Math.max(1, free - others), mark ? mark.at - job.at : due);
      if (wants === "logits" || wants === "scores") take = Math.min(take, room);
      if (wants === "draw" && take === due && room === 0) take--;
      if (take <= 0) continue;
      const draws = task.kind === "generate" && take === due ? task : undefined;
      const guesses = draws?.guess(Math.min(room, free - others) - 1) ?? [];
      const to = this.#acquire(1 + guesses.length);
      if (to.length === 0) {
        // The others give theirs back when they have moved. With nobody to wait for, there is no room.
        if (shares.length === 0 && heads.length === 0) job.failure = NO_ROOM;
        break;
      }
      job.served = this.#steps;
      shares.push({ job, take, row: rows.length, to });
      if (before) heads.push({ row: slot + spec.hidden, use: (logits) => this.#score(job, 0, logits) });
      for (let i = 0; i < take; i++) {
        const row = spec.x + rows.length * spec.xStride;
        const next = job.at + i + 1;
        if (wants === "logits") heads.push({ row, use: (logits) => this.#hand(job, logits) });
        if (wants === "scores" && next < job.tokens.length) {
          heads.push({ row, use: (logits) => this.#score(job, next, logits) });
        }
        rows.push([job.tokens[job.at + i]!, slot, to[0]!, position + i]);
      }
      to.forEach((state, i) => {
        this.#slots.setPosition(state, position + take + i);
        if (i > 0) rows.push([guesses[i - 1]!, to[i - 1]!, state, position + take + i - 1]);
        if (draws) {
          heads.push({ row: state + spec.hidden, use: (logits) => this.#draw(job, draws, i, logits) });
        }
      });
    }
    this.#write(rows, heads);
    return { shares, heads, count: rows.length };
  }

  /** Whether a job wants a part in the next step. */
  #isDue(job: Job): boolean {
    if (job.failure || !runs(job)) return false;
    const { task } = job;
    if (task.kind !== "generate") return true;
    try {
      task.prepare();
    } catch (error) {
      job.failure = known(error);
    }
    return !task.ended && !job.failure;
  }

  /** Only after all slots were taken: they may have made the memory grow, which detaches earlier views. */
  #write(rows: readonly number[][], heads: readonly Head[]): void {
    const { buffer } = this.#memory;
    const spec = this.#spec;
    const table = new Uint32Array(buffer, spec.batch + BATCH_TABLE, (spec.rows * ROW_BYTES) / 4);
    rows.forEach((row, i) => {
      table.set(row, (i * ROW_BYTES) / 4);
    });
    const list = new Uint32Array(buffer, spec.headList, spec.heads);
    heads.forEach((head, i) => {
      list[i] = head.row;
    });
    const counts = new Uint32Array(buffer, spec.batch, 2);
    counts[BATCH_ROWS / 4] = rows.length;
    counts[BATCH_HEADS / 4] = heads.length;
  }

  /** Fresh slots: the first one if need be at the cost of states that only save time, the others if there are any. */
  #acquire(count: number): number[] {
    const slots: number[] = [];
    try {
      while (slots.length < count) slots.push(this.#slots.acquire());
    } catch {
      if (slots.length > 0) return slots;
      for (const { task } of this.#jobs) if (task.kind === "generate") task.trail.shed();
      try {
        slots.push(this.#slots.acquire());
      } catch {
        // As many as there are: none.
      }
    }
    return slots;
  }

  /** Where a step cannot be interrupted it must be short; how a prompt is cut never changes a bit. */
  #mostRows(): number {
    const longest = this.#around.longestStep;
    if (longest === undefined) return this.#spec.rows;
    if (this.#rowTime === 0) return Math.min(4, this.#spec.rows);
    return Math.max(1, Math.min(this.#spec.rows, Math.floor(longest / this.#rowTime)));
  }

  /** The rows of a job are computed: its session moves on. */
  #commit({ job, take, row, to: [slot] }: Share): void {
    const { task } = job;
    if (task.kind === "hidden") this.#pool(task, row, take, left(job) === take);
    job.at += take;
    this.#advance(job, slot!);
    const [mark] = job.marks;
    if (mark?.at === job.at) {
      job.marks = job.marks.slice(1);
      this.#stand(mark.place, this.#slots.retain(slot!));
      this.#port.post({ kind: "marked", job: job.id, place: mark.place });
    }
    if (task.kind === "generate" && (task.begun || left(job) === 0)) task.moved(slot!, take);
    if (left(job) > 0 && task.kind !== "forward") {
      this.#port.post({ kind: "fed", job: job.id, position: this.#slots.position(slot!) });
    }
  }

  /** The same with guesses, when it is known how many of them are right. */
  #commitGuess({ job, to }: Share): void {
    const task = job.task as Generating;
    const slot = to[task.right - 1]!;
    for (const other of to) if (other !== slot) this.#slots.release(other);
    this.#advance(job, slot);
    task.moved(slot, task.right);
  }

  #hand(job: Job, address: number): void {
    const logits = new Float32Array(
      this.#memory.buffer,
      address,
      this.#spec.vocab,
    ).slice() as Float32Array<ArrayBuffer>;
    this.#port.post({ kind: "logits", job: job.id, logits });
  }

  /** How likely the job's token number `i` is by these logits. */
  #score(job: Job, i: number, logits: number): void {
    const scored = scoredOf(job.task)!;
    if (scored.words.length === 0) scored.first = i;
    const words = scoreOf(this.#room, logits, job.tokens[i]!, scored.top);
    scored.words.push(...words);
    if (Number.isNaN(new Float32Array(words.buffer, 0, 1)[0]!)) job.failure = NUMBERS;
  }

  /** Adds up rows of the last layer's output, normed; or takes the last of all. */
  #pool({ pooling, sum }: Hidden, first: number, count: number, isLast: boolean): void {
    const { x, xStride, norm, normed, width } = this.#spec;
    if (pooling === "state" || (pooling === "last" && !isLast)) return;
    const from = pooling === "mean" ? first : first + count - 1;
    for (let row = from; row < first + count; row++) {
      this.#kernels.layer_norm(normed, x + row * xStride, norm.weight, norm.bias, width, norm.eps);
      const numbers = new Float32Array(this.#memory.buffer, normed, width);
      for (let i = 0; i < width; i++) sum[i]! += numbers[i]!;
    }
  }

  /** Draws behind row `row` of a job's rows in this step. */
  #draw(job: Job, task: Generating, row: number, logits: number): void {
    job.failure ??= task.draw(row, logits);
    if (task.next === undefined) return;
    job.tokens = Uint32Array.of(task.next);
    job.at = 0;
  }

  // --- Endings --------------------------------------------------------------------------------------------------------

  /** What is to be said of a job after a step. */
  #conclude(job: Job): void {
    const { task } = job;
    if (job.failure) this.#fail(job, job.failure.code, job.failure.message);
    else if (task.kind !== "generate") {
      if (left(job) === 0) this.#done(job);
    } else if (task.ended && !task.told) this.#tell(job, task, task.ended);
    // Who waits for something to be done about its tokens tells of them at once.
    else if (!task.runs) this.#flushJob(job);
  }

  #tell(job: Job, task: Generating, finish: Finish): void {
    this.#flushJob(job);
    task.told = true;
    this.#port.post({ kind: "ended", job: job.id, finish });
  }

  /** Ends a job; answers the position where it stood. */
  #remove(job: Job): number {
    const position = this.#slots.position(this.#slot(job));
    if (job.task.kind === "generate") job.task.release();
    if ("slot" in job.place) this.#slots.release(job.place.slot);
    const index = this.#jobs.indexOf(job);
    if (index >= 0) this.#jobs.splice(index, 1);
    this.#flushJob(job);
    return position;
  }

  #done(job: Job): void {
    const outcome = this.#outcome(job);
    this.#port.post({ kind: "done", job: job.id, ...outcome, position: this.#remove(job) });
  }

  /** What a job was done for. */
  #outcome(job: Job): { hidden?: Float32Array<ArrayBuffer>; state?: Float32Array<ArrayBuffer> } {
    const { task } = job;
    if (task.kind !== "hidden") return {};
    if (task.pooling === "state") return { state: readSlot(this.#spec, this.#memory, this.#slot(job)) };
    const divisor = task.pooling === "mean" ? job.tokens.length : 1;
    return { hidden: Float32Array.from(task.sum, (x) => x / divisor) };
  }

  #fail(job: Job, code: RwkvError["code"] | "aborted", message: string): void {
    const position = this.#remove(job);
    this.#port.post({ kind: "error", job: job.id, code, message, position });
  }

  /** The engine cannot compute any more; states can still be read. */
  #break(error: unknown): void {
    const { code, message } = known(error);
    this.#broken = new RwkvError(code, message);
    if (this.#spec.ranks > 1) this.#kernels.poison(this.#spec.team);
    for (const job of [...this.#jobs]) this.#fail(job, code, message);
  }

  /** Sends what the host has not heard of. */
  #flushJob({ id: job, task }: Job): void {
    const scored = scoredOf(task);
    if (scored && scored.words.length > 0) {
      this.#port.post({ kind: "scores", job, first: scored.first, scores: Uint32Array.from(scored.words) });
      scored.words = [];
    }
    const news = task.kind === "generate" ? task.news() : undefined;
    if (news) this.#port.post({ kind: "tokens", job, ...news });
  }

  #flush(): void {
    for (const job of this.#jobs) this.#flushJob(job);
  }
}

const NO_ROOM: Failure = {
  code: "memory",
  message: "There is no room for one more state. Close sessions, or load the model with a larger `sessions`.",
};

/** Any error as one that can cross to the host. */
/** What can be said to a host. */
export function known(error: unknown): { code: RwkvError["code"]; message: string } {
  if (error instanceof RwkvError) return error;
  return { code: "engine", message: `The engine stopped: ${error instanceof Error ? error.message : String(error)}` };
}
