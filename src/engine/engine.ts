/**
 * The engine: owns the memory and the kernels, takes requests, answers with replies. It runs wherever its port leads: in the
 * first worker of a team, in a single worker, or beside the caller. The token loop is here, next to the kernels: a generation
 * needs no round trip to the host per token.
 */

import {
  BATCH_HEADS,
  BATCH_ROWS,
  BATCH_TABLE,
  PIECE,
  ROW_BYTES,
  RUN_ABORTED,
  RUN_DONE,
  SAMPLER_STEP,
  TEAM_ABORT,
  TEAM_BYTES,
} from "../../assembly/ops.ts";
import { hex8, xxhash32 } from "../bytes/hash.ts";
import { RwkvError } from "../errors.ts";
import { instantiate, type Kernels } from "./kernels.ts";
import { align, createMemory } from "./memory.ts";
import { mergeRoom } from "./planner.ts";
import type { Port, Reply, Request, Rows } from "./protocol.ts";
import { writeSampling } from "./sampler.ts";
import { readSlot, Slots, writeSlot } from "./slots.ts";
import { type EngineSpec, FORMS } from "./spec.ts";
import { tileKind, WEIGHT_TYPES, type WeightType } from "./weight-types.ts";

/** What the engine needs from where it runs. */
export interface Surroundings {
  /** Lets messages in: resolves after the event loop went round. */
  breathe(): Promise<void>;
  /** Milliseconds between breaths; 0 breathes after every step. */
  interval: number;
  /** Longest step in milliseconds where an abort cannot reach into a running step; then chunks get shorter. */
  longestStep?: number;
}

const DAMAGED = "an infinity or a NaN: the file is damaged or the model diverged";

interface Job {
  id: number;
  session: number;
  /** What has still to be fed, from `at`. */
  tokens: Uint32Array;
  at: number;
  kind: "feed" | "forward" | "generate";
  /** Of a generation: what was asked for. */
  wanted?: Extract<Request, { kind: "generate" }>;
  /** Index of the sampler area, -1 while none is free. */
  sampler: number;
  generated: number;
  out: number[];
  finishReason?: "length" | "stop";
  /** The last step that it had a part in. */
  served: number;
}

interface Head {
  job: Job;
  /** Address of the row. */
  row: number;
}

export class Engine {
  readonly #spec: EngineSpec;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: Kernels;
  readonly #port: Port<Reply, Request>;
  readonly #around: Surroundings;
  readonly #slots: Slots;
  readonly #sessions = new Map<number, number>();
  readonly #jobs: Job[] = [];
  readonly #freeSamplers: number[];
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
    this.#slots = new Slots(spec, this.#memory);
    const { sampler_bytes, sampler_work } = this.#kernels;
    if (sampler_bytes(spec.vocab) > spec.samplerStride || sampler_work(spec.vocab) > spec.samplerWorkBytes) {
      throw new RwkvError("engine", `There is no room for the samplers of ${spec.vocab} tokens.`);
    }
    this.#freeSamplers = Array.from({ length: spec.generations }, (_, i) => spec.generations - 1 - i);
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
      case "rows": {
        const { data, merge } = request.rows;
        this.#store(request.rows);
        const spent = merge ? [data, merge.data] : [data];
        this.#port.post({ kind: "done", job: request.job, spent }, spent);
        return;
      }
      case "seal": {
        let hash = 0;
        for (const { address, count } of request.vectors) {
          hash = xxhash32(new Uint8Array(this.#memory.buffer, address, count * 4), hash);
        }
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
      case "close": {
        const slot = this.#sessions.get(request.session);
        if (slot !== undefined) this.#slots.release(slot);
        this.#sessions.delete(request.session);
        return;
      }
      case "save": {
        const slot = this.#sessions.get(request.session);
        if (slot === undefined) throw new RwkvError("closed", "The session was closed.");
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
      case "abort": {
        const job = this.#jobs.find((j) => j.id === request.job);
        if (job) this.#fail(job, "aborted", "aborted");
        return;
      }
      default: {
        if (this.#broken) throw this.#broken;
        this.#jobs.push({
          id: request.job,
          session: request.session,
          tokens: request.tokens,
          at: 0,
          kind: request.kind,
          wanted: request.kind === "generate" ? request : undefined,
          sampler: -1,
          generated: 0,
          out: [],
          served: 0,
        });
        if (!this.#working) void this.#work();
      }
    }
  }

  /** Moves a session onto a slot, whose reference it takes over. */
  #stand(session: number, slot: number): void {
    const old = this.#sessions.get(session);
    if (old !== undefined) this.#slots.release(old);
    this.#sessions.set(session, slot);
    const directory = new Int32Array(this.#memory.buffer, this.#spec.directory, this.#spec.sessions);
    Atomics.store(directory, session, slot);
  }

  /** Rows of a tensor: into the staging area, converted if need be, packed. */
  #store({ kind, name, address, from, to, columns, first, rows, inputs, form, times, merge, data }: Rows): void {
    const { staging, stagingBytes } = this.#spec;
    const kernels = this.#kernels;
    const source = WEIGHT_TYPES[from];
    const target = WEIGHT_TYPES[to];
    const per = kernels.stored_bytes(source, columns);
    new Uint8Array(this.#memory.buffer, staging, rows * per).set(new Uint8Array(data, 0, rows * per));
    this.#finite(name, staging, from, columns, rows, first, DAMAGED);
    const converted = staging + stagingBytes;
    if (kind === "vector") {
      kernels.to_f32(converted, staging, source, columns, converted + align(columns * 4, 128));
      kernels.spread(address, converted, columns, times!, FORMS[form!]);
      return;
    }
    const stored = kernels.stored_bytes(target, columns);
    if (kind === "table") {
      kernels.convert(address + first * stored, target, staging, source, rows, columns, converted);
      return;
    }
    const piece = kernels.piece_bytes(target, columns);
    const scratch = converted + align(PIECE * stored);
    for (let r = 0; r < rows; r += PIECE) {
      const count = Math.min(PIECE, rows - r);
      let at = staging + r * per;
      let type = source;
      if (merge) {
        at = this.#merge(merge, at, source, columns, r, count, first, scratch);
        type = WEIGHT_TYPES.f32;
      }
      if (type !== target) {
        kernels.convert(converted, target, at, type, count, columns, scratch);
        at = converted;
      }
      if (merge || type !== target) {
        this.#finite(name, at, to, columns, count, first + r, `a number that is too large for ${to}`);
      }
      if (inputs) kernels.pack_transposed(address, at, target, columns, inputs, first + r, count);
      else kernels.pack(address + ((first + r) / PIECE) * piece, at, target, count, columns, scratch);
    }
  }

  /** Throws `RwkvError` "weights" unless all numbers of `rows` rows at `at` are finite; `first`: the tensor's first row there. */
  #finite(name: string, at: number, type: WeightType, columns: number, rows: number, first: number, why: string): void {
    const stride = this.#kernels.stored_bytes(WEIGHT_TYPES[type], columns);
    for (let r = 0; r < rows; r++) {
      const bad = this.#kernels.not_finite(at + r * stride, WEIGHT_TYPES[type], columns);
      if (bad < 0) continue;
      const place = `row ${first + r}, ${tileKind(type) ? "block" : "column"} ${bad}`;
      throw new RwkvError("weights", `Tensor ${name} holds ${why} (${place}).`);
    }
  }

  /** `count` (1..32) rows of a matrix, changed, as f32: where they are. They are those from `r` on of the rows that came. */
  #merge(
    { name, from, rank, alpha, strength, data }: NonNullable<Rows["merge"]>,
    at: number,
    type: number,
    columns: number,
    r: number,
    count: number,
    first: number,
    scratch: number,
  ): number {
    const kernels = this.#kernels;
    const { f32 } = WEIGHT_TYPES;
    const { merging } = this.#spec;
    const room = mergeRoom(rank, columns);
    const [b, wide, sums, weights] = [room.b, room.wide, room.sums, room.weights].map((offset) => merging + offset);
    const per = kernels.stored_bytes(WEIGHT_TYPES[from], rank);
    new Uint8Array(this.#memory.buffer, b, count * per).set(new Uint8Array(data, r * per, count * per));
    this.#finite(name, b!, from, rank, count, first + r, DAMAGED);
    kernels.convert(wide!, f32, b!, WEIGHT_TYPES[from], count, rank, scratch);
    kernels.convert(weights!, f32, at, type, count, columns, scratch);
    // b a is a matmul whose tokens are the rows of b, and whose weights are a, which was packed like any matrix of inputs by outputs.
    const piece = kernels.piece_bytes(f32, rank);
    for (let c = 0; c < columns; c += PIECE) {
      kernels.matmul(f32, sums!, merging + (c / PIECE) * piece, wide!, rank * 4, rank, count, scratch);
      kernels.merge(weights! + c * 4, columns * 4, sums!, Math.min(PIECE, columns - c), count, strength, alpha, rank);
    }
    return weights!;
  }

  // --- The loop -------------------------------------------------------------------------------------------------------

  async #work(): Promise<void> {
    this.#working = true;
    let breath = performance.now();
    while (this.#jobs.length > 0) {
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
    this.#working = false;
  }

  /**
   * One pass over the weights: some rows of every job that has any, then a token for every generation that is due.
   * False when it was cut short: nothing was committed, and there is a message to hear.
   */
  #step(): boolean {
    const spec = this.#spec;
    const most = this.#mostRows();
    const heads: Head[] = [];
    const moved = new Map<Job, number>();
    const rows: number[][] = [];
    // Who waited longest comes first, then who needs least; a long prompt fills what a row for each of the others leaves of a step.
    const left = (job: Job) => job.tokens.length - job.at;
    const waiting = [...this.#jobs].sort((a, b) => a.served - b.served || left(a) - left(b));
    let others = waiting.filter((job) => left(job) > 0).length;
    for (const job of waiting) {
      if (left(job) > 0) others--;
      if (job.kind === "generate" && job.sampler < 0 && !this.#beginSampling(job)) continue;
      const room = spec.heads - heads.length;
      // A row of logits for each token, for the last one, or none.
      const wants = job.kind === "forward" ? "all" : job.kind === "generate" && !job.finishReason ? "last" : "none";
      const slot = this.#sessions.get(job.session)!;
      if (left(job) === 0) {
        if (wants === "last" && room > 0) heads.push({ job, row: slot + spec.hidden });
        continue;
      }
      let take = Math.min(left(job), most - rows.length, Math.max(1, most - rows.length - others));
      if (wants === "all") take = Math.min(take, room);
      if (wants === "last" && take === left(job) && room === 0) take--;
      if (take === 0) continue;
      let to: number;
      try {
        to = this.#slots.acquire();
      } catch (error) {
        // The others give theirs back when they have moved. With nobody to wait for, there is no room.
        if (moved.size === 0 && heads.length === 0) {
          const { code, message } = known(error);
          this.#fail(job, code, message);
        }
        break;
      }
      moved.set(job, to);
      const position = this.#slots.position(slot);
      this.#slots.setPosition(to, position + take);
      for (let i = 0; i < take; i++) {
        if (wants === "all") heads.push({ job, row: spec.x + rows.length * spec.xStride });
        rows.push([job.tokens[job.at + i]!, slot, to, position + i]);
      }
      if (wants === "last" && take === left(job)) heads.push({ job, row: to + spec.hidden });
    }
    // Only now: new slots may have made the memory grow, which detaches earlier views.
    const table = new Uint32Array(this.#memory.buffer, spec.batch + BATCH_TABLE, (spec.rows * ROW_BYTES) / 4);
    rows.forEach((row, i) => {
      table.set(row, (i * ROW_BYTES) / 4);
    });
    const list = new Uint32Array(this.#memory.buffer, spec.headList, spec.heads);
    heads.forEach((head, i) => {
      list[i] = head.row;
    });
    const counts = new Uint32Array(this.#memory.buffer, spec.batch, 2);
    counts[BATCH_ROWS / 4] = rows.length;
    counts[BATCH_HEADS / 4] = heads.length;

    const started = performance.now();
    const verdict = this.#kernels.lead(spec.program, spec.ranks);
    if (verdict !== RUN_DONE) {
      for (const to of moved.values()) this.#slots.release(to);
      if (verdict !== RUN_ABORTED) throw new RwkvError("engine", "A thread of the engine died. Load the model again.");
      Atomics.store(new Int32Array(this.#memory.buffer, spec.team, TEAM_BYTES / 4), TEAM_ABORT / 4, 0);
      return false;
    }
    if (rows.length > 0) this.#rowTime = (performance.now() - started) / rows.length;
    this.#steps++;

    for (const { job } of heads) job.served = this.#steps;
    for (const [job, to] of moved) {
      job.served = this.#steps;
      const from = this.#sessions.get(job.session)!;
      job.at += this.#slots.position(to) - this.#slots.position(from);
      this.#stand(job.session, to);
      if (job.at < job.tokens.length && job.kind !== "forward") {
        this.#port.post({ kind: "fed", job: job.id, position: this.#slots.position(to) });
      }
    }
    heads.forEach(({ job }, i) => {
      const logits = spec.logits + i * spec.logitsStride;
      if (job.kind === "generate") this.#draw(job, logits);
      else {
        const copy = new Float32Array(this.#memory.buffer, logits, spec.vocab).slice();
        this.#port.post({ kind: "logits", job: job.id, logits: copy as Float32Array<ArrayBuffer> });
      }
    });
    for (const job of [...this.#jobs]) {
      if (job.at === job.tokens.length && (job.kind !== "generate" || job.finishReason)) this.#done(job);
    }
    return true;
  }

  /** Where a step cannot be interrupted it must be short; how a prompt is cut never changes a bit. */
  #mostRows(): number {
    const longest = this.#around.longestStep;
    if (longest === undefined) return this.#spec.rows;
    if (this.#rowTime === 0) return Math.min(4, this.#spec.rows);
    return Math.max(1, Math.min(this.#spec.rows, Math.floor(longest / this.#rowTime)));
  }

  #draw(job: Job, logits: number): void {
    const spec = this.#spec;
    const { stopTokens, maxTokens } = job.wanted!;
    const area = spec.samplers + job.sampler * spec.samplerStride;
    new Uint32Array(this.#memory.buffer, area + SAMPLER_STEP, 1)[0] = job.generated;
    const token = this.#kernels.sample(logits, spec.vocab, area, spec.samplerWork);
    if (token < 0) {
      this.#fail(
        job,
        "engine",
        "The model's logits are not numbers: the weights are damaged, or the state overflowed.",
      );
      return;
    }
    this.#kernels.accept(area, spec.vocab, token);
    if (stopTokens.includes(token)) {
      job.finishReason = "stop";
      return;
    }
    job.generated++;
    job.out.push(token);
    job.tokens = Uint32Array.of(token);
    job.at = 0;
    // The last token is fed as well, so that the session has taken in all that was said.
    if (job.generated === maxTokens) job.finishReason = "length";
  }

  #beginSampling(job: Job): boolean {
    const index = this.#freeSamplers.pop();
    if (index === undefined) return false;
    job.sampler = index;
    const spec = this.#spec;
    const at = spec.samplers + index * spec.samplerStride;
    writeSampling(this.#kernels, this.#memory, at, spec.vocab, job.wanted!.sampling);
    return true;
  }

  // --- Endings --------------------------------------------------------------------------------------------------------

  #remove(job: Job): void {
    const index = this.#jobs.indexOf(job);
    if (index >= 0) this.#jobs.splice(index, 1);
    if (job.sampler >= 0) this.#freeSamplers.push(job.sampler);
    job.sampler = -1;
    this.#flushJob(job);
  }

  #position(job: Job): number {
    return this.#slots.position(this.#sessions.get(job.session)!);
  }

  #done(job: Job): void {
    this.#remove(job);
    this.#port.post({ kind: "done", job: job.id, position: this.#position(job), finishReason: job.finishReason });
  }

  #fail(job: Job, code: RwkvError["code"] | "aborted", message: string): void {
    this.#remove(job);
    this.#port.post({ kind: "error", job: job.id, code, message, position: this.#position(job) });
  }

  /** The engine cannot compute any more; states can still be read. */
  #break(error: unknown): void {
    const { code, message } = known(error);
    this.#broken = new RwkvError(code, message);
    if (this.#spec.ranks > 1) this.#kernels.poison(this.#spec.team);
    for (const job of [...this.#jobs]) this.#fail(job, code, message);
  }

  #flushJob(job: Job): void {
    if (job.out.length === 0) return;
    this.#port.post({
      kind: "tokens",
      job: job.id,
      tokens: Uint32Array.from(job.out),
      position: this.#position(job),
    });
    job.out.length = 0;
  }

  #flush(): void {
    for (const job of this.#jobs) this.#flushJob(job);
  }
}

/** Any error as one that can cross to the host. */
function known(error: unknown): { code: RwkvError["code"]; message: string } {
  if (error instanceof RwkvError) return error;
  return { code: "engine", message: `The engine stopped: ${error instanceof Error ? error.message : String(error)}` };
}
