/**
 * Turns a model's plan into what the engine executes: addresses for weights, activations and states, and the program's records.
 * A plan (`model/rwkv7.ts`) only sees handles and calls operations in the paper's order; here they become numbers.
 *
 * Fences are found, not written: every operation says what it reads and writes and how the ranks share it out, and a record
 * gets a fence only if the next one touches what another rank may still be working on.
 */

import {
  BATCH_HEADS,
  BATCH_ROWS,
  BATCH_TABLE,
  BLOCK,
  F_ARGS,
  F_FENCE,
  F_OP,
  F_ROWS,
  FINISH_BIAS,
  FINISH_GATED,
  H_BATCH,
  H_SCRATCH,
  H_SCRATCH_STRIDE,
  H_TEAM,
  MATMUL_FEW,
  OP_EMBED,
  OP_END,
  OP_GATHER_NORM,
  OP_KEEP,
  OP_LERP,
  OP_MATMUL,
  OP_NORM_MIX,
  OP_QUANTIZE,
  OP_WKV4,
  OP_WKV6,
  OP_WKV7,
  PIECE,
  Q8_BLOCK,
  RECORD_BYTES,
  ROW_BYTES,
  SCRATCH_BYTES,
  TEAM_BYTES,
  WKV6_DECAY,
  WKV6_GATE,
} from "../../assembly/ops.ts";
import { RwkvError } from "../errors.ts";
import type { TensorInfo } from "../types.ts";
import { Arena, align, gib, LIMIT } from "./memory.ts";
import { MOST_ALTERNATIVES, scoreWords } from "./scores.ts";
import { type Change, type EngineSpec, LANDINGS, type Load, type StatePart, type VectorSource } from "./spec.ts";
import { packedBytes, storedRow, tileKind, WEIGHT_TYPES, type WeightType } from "./weight-types.ts";

const SLOT_HEADER = 64;
/** How many slots exist before the memory grows. */
const SLOTS_AT_START = 8;
/** Sessions beside those that users open. */
const INNER = 16;
/** Most states that are kept for later. */
const MOST_CACHED = 4096;
const STAGING = 1 << 20;
/** More ranks than this have nothing to do when weights come: these are quicker than any disk. */
const PACKERS = 4;

/** Activations: rows of f32, one per token, and room for their quantised form, which matmuls with integer weights read. */
export class Activation {
  readonly address: number;
  readonly channels: number;
  /** @internal Where the quantised form goes. */
  readonly q8: number;
  /** @internal Makes the quantised form exist, if it does not yet. */
  quantize: (() => void) | undefined;
  /** @internal The last records that wrote and read this, and how the ranks shared it out. */
  written = -1;
  writeSplit = "";
  read = -1;
  readSplit = "";

  constructor(address: number, channels: number, q8: number) {
    this.address = address;
    this.channels = channels;
    this.q8 = q8;
  }
}

export interface Matrix {
  readonly address: number;
  readonly type: WeightType;
  readonly rows: number;
  readonly columns: number;
}

export interface Table {
  readonly address: number;
  readonly type: WeightType;
  readonly rows: number;
  readonly columns: number;
}

/** One or more vectors of C channels that lie one after another. */
export interface Vectors {
  readonly address: number;
  readonly channels: number;
}

export interface Norm {
  readonly weight: Vectors;
  readonly bias: Vectors;
  readonly eps: number;
}

/** What a matmul does with its sums: a FINISH_* number; adds a vector; or dst = (dst + gate * sums) * factor. */
export type Finish = number | { bias: Vectors } | { gate: Activation; factor?: number };

function finishOf(finish: Finish): { how: number; other?: Activation | Vectors; factor: number } {
  if (typeof finish === "number") return { how: finish, factor: 1 };
  if ("bias" in finish) return { how: FINISH_BIAS, other: finish.bias, factor: 1 };
  return { how: FINISH_GATED, other: finish.gate, factor: finish.factor ?? 1 };
}

/** From one to the next of activations that were made together. */
const stride = ([first, second]: readonly Activation[]): number =>
  first && second ? second.address - first.address : 0;

const FLOAT = new Float32Array(1);
const FLOAT_BITS = new Uint32Array(FLOAT.buffer);
const bits = (x: number): number => {
  FLOAT[0] = x;
  return FLOAT_BITS[0]!;
};

/** Bytes of one row of activations: whole blocks of f32. */
const rowBytes = (channels: number): number => Math.ceil(channels / BLOCK) * BLOCK * 4;
/** Bytes of one row of quantised activations. */
const quantizedRow = (channels: number): number => Math.ceil(channels / BLOCK) * Q8_BLOCK;
/**
 * What a rank needs to change 32 rows of a matrix of so many columns, as offsets: of a low-rank change (rank 0: there is none) 32 rows of b
 * as in the file and as f32, a piece of their product with a; the 32 rows as f32; factors of columns and of rows.
 */
export function changeRoom(rank: number, columns: number) {
  const rows = align(rank * 4 * PIECE);
  const sums = rows * 2;
  const weights = sums + PIECE * PIECE * 4;
  const byColumns = weights + align(columns * 4 * PIECE);
  const byRows = byColumns + align(columns * 4);
  return { b: 0, wide: rows, sums, weights, byColumns, byRows, bytes: byRows + PIECE * 4 };
}

const NEAR = 1 << 24;

export interface PlannerOptions {
  /** Most tokens in one run. */
  rows: number;
  /** Threads. */
  ranks: number;
  /** Most sessions at a time. */
  sessions: number;
  /** Bytes of states to keep beside them. Default 0. */
  cache?: number;
  /** First address; tests put it above 2 GiB. */
  base?: number;
  /** Most bytes of weights that the caches are reckoned to hold. Default: 16 MiB. */
  near?: number;
  /** Most bytes. Default: all that can be addressed. What is planned beyond that can be looked at, but not run. */
  limit?: number;
}

export class Planner {
  readonly loads: Load[] = [];
  readonly state: StatePart[] = [];
  readonly near: number;
  readonly #options: PlannerOptions;
  readonly #arena: Arena;
  readonly #records: number[][] = [];
  readonly #batch: number;
  readonly #headList: number;
  readonly #heads: number;
  #slot = SLOT_HEADER;
  #fenced = -1;
  #rowsAt = BATCH_ROWS;
  #weightBytes = 0;
  #longestRow = 0;
  #changeBytes = 0;
  #mergeBytes = 0;
  #norm: EngineSpec["norm"] | undefined;

  get ranks(): number {
    return this.#options.ranks;
  }

  constructor(options: PlannerOptions) {
    this.near = options.near ?? NEAR;
    this.#options = options;
    this.#arena = new Arena(options.base ?? 4096);
    this.#heads = Math.min(options.rows, Math.max(16, options.sessions));
    this.#batch = this.#arena.alloc(BATCH_TABLE + options.rows * ROW_BYTES);
    this.#headList = this.#arena.alloc(this.#heads * 4);
  }

  // --- Things --------------------------------------------------------------------------------------------------------

  /** A weight matrix in `type`. */
  matrix(tensor: TensorInfo, rows: number, columns: number, type: WeightType, change: Change = {}): Matrix {
    const bytes = packedBytes(type, rows, columns);
    // A transposed one comes as rows of outputs.
    const inFile = tensor.transposed ? rows : columns;
    const address = this.#weights(bytes, storedRow("f32", inFile));
    this.loads.push({ bytes, kind: "matrix", tensor, type, address, rows, columns, ...change });
    const { merge, scaling } = change;
    if (merge) {
      this.#longestRow = Math.max(this.#longestRow, rowBytes(merge.rank));
      this.#mergeBytes = Math.max(this.#mergeBytes, packedBytes("f32", inFile, merge.rank));
    }
    if (merge || scaling) this.#change(changeRoom(merge?.rank ?? 0, inFile).bytes);
    return { address, type, rows, columns };
  }

  /** A table of rows to look up, exactly as the file has it. */
  table(tensor: TensorInfo, rows: number, columns: number, type: WeightType): Table {
    const bytes = rows * storedRow(type, columns);
    const address = this.#weights(bytes, storedRow("f32", columns));
    this.loads.push({ bytes, kind: "table", tensor, type, address, rows, columns });
    return { address, type, rows, columns };
  }

  /** Vectors of `channels` numbers, one after another, as f32. `undefined` leaves zeros. */
  vectors(channels: number, sources: readonly (VectorSource | undefined)[]): Vectors {
    const row = rowBytes(channels);
    const address = this.#weights(row * sources.length, row);
    sources.forEach((source, i) => {
      if (!source) return;
      this.loads.push({ bytes: row, kind: "vector", address: address + i * row, count: channels, ...source });
      if (source.scaling) this.#change(changeRoom(0, channels).bytes);
    });
    return { address, channels };
  }

  activation(channels: number): Activation {
    return this.activations(channels, 1)[0]!;
  }

  /** Activations at one distance from each other, as some operations want them. */
  activations(channels: number, count: number): Activation[] {
    const f32 = align(this.#options.rows * rowBytes(channels));
    const q8 = align(this.#options.rows * quantizedRow(channels));
    const address = this.#arena.alloc(f32 * count);
    const codes = this.#arena.alloc(q8 * count);
    return Array.from({ length: count }, (_, i) => new Activation(address + i * f32, channels, codes + i * q8));
  }

  /** Logits: only as many rows as can be wanted at a time. */
  logits(vocab: number): Activation {
    return new Activation(this.#arena.alloc(this.#heads * rowBytes(vocab)), vocab, 0);
  }

  /** Room for whatever an operation needs beside activations; it begins as zeros. */
  room(bytes: number): number {
    return this.#arena.alloc(bytes);
  }

  /** A part of the state, filled with `fill` in a fresh session. */
  part(name: string, shape: readonly number[], fill = 0): StatePart {
    const count = shape.reduce((a, b) => a * b, 1);
    const part = { name, offset: this.#slot, shape, fill };
    this.#slot += align(rowBytes(count));
    this.state.push(part);
    return part;
  }

  // --- Operations, in the order in which they run ---------------------------------------------------------------------

  /** x = table[token], then layer norm if there is one. */
  embed(x: Activation, table: Table, norm?: Norm): void {
    this.#record(
      OP_EMBED,
      [],
      [[x, "rows"]],
      [
        table.address,
        WEIGHT_TYPES[table.type],
        table.rows,
        x.address,
        table.columns,
        storedRow(table.type, table.columns),
        norm?.weight.address ?? 0,
        norm?.bias.address ?? 0,
        bits(norm?.eps ?? 0),
      ],
    );
  }

  /** Layer norm and token shift: dst[j] = xx + (xx before - xx) * mu[j]. */
  normMix(x: Activation, norm: Norm, shift: StatePart, mu: Vectors, dst: readonly Activation[]): void {
    const split = this.#split(BLOCK, x.channels);
    const [first, second] = dst as [Activation, Activation | undefined];
    const record = this.#record(
      OP_NORM_MIX,
      [[x, "all"]],
      dst.map((d) => [d, split] as const),
      [
        x.address,
        x.channels,
        norm.weight.address,
        norm.bias.address,
        bits(norm.eps),
        shift.offset,
        mu.address,
        dst.length,
        first.address,
        second ? second.address - first.address : 0,
        first.q8,
        second ? second.q8 - first.q8 : 0,
        0,
      ],
    );
    // Whether an output is wanted quantised is known when a matmul reads it; then its bit is set.
    dst.forEach((d, j) => {
      d.quantize = () => {
        record[F_ARGS / 4 + 12]! |= 1 << j;
      };
    });
  }

  /** dst = weights @ input, then `finish`. `from`: the first channel of the input that counts; only with float weights. */
  matmul(dst: Activation, weights: Matrix, input: Activation, finish: Finish = 0, from = 0): void {
    const integer = tileKind(weights.type) > 0;
    if (integer) input.quantize!();
    // Whether a few pieces of floats go to the ranks by rows or by tokens is found out when it runs; so they are shared like nothing else.
    const { ranks } = this.#options;
    const pieces = Math.ceil(weights.rows / PIECE);
    const either = !integer && pieces % ranks !== 0 && pieces < MATMUL_FEW * ranks;
    const split = either ? `either${this.#records.length}` : this.#split(PIECE, weights.rows);
    const { how, other, factor } = finishOf(finish);
    this.#record(
      OP_MATMUL,
      other instanceof Activation
        ? [
            [input, "all"],
            [other, split],
          ]
        : [[input, "all"]],
      [[dst, split]],
      [
        dst.address,
        rowBytes(dst.channels),
        weights.address,
        WEIGHT_TYPES[weights.type],
        integer ? input.q8 : input.address + from * 4,
        rowBytes(input.channels),
        weights.rows,
        weights.columns,
        how,
        other?.address ?? 0,
        bits(factor),
      ],
    );
  }

  /** xx = norm(x), dx = xx before - xx: where the mixes depend on the token. */
  normShift(x: Activation, norm: Norm, shift: StatePart, xx: Activation, dx: Activation): void {
    const split = this.#split(BLOCK, x.channels);
    this.#record(
      OP_NORM_MIX,
      [[x, "all"]],
      [
        [xx, split],
        [dx, split],
      ],
      [
        x.address,
        x.channels,
        norm.weight.address,
        norm.bias.address,
        bits(norm.eps),
        shift.offset,
        0,
        0,
        xx.address,
        dx.address - xx.address,
      ],
    );
  }

  /** dst[j] = xx + dx * (mu[j] + m[j]), or without m. */
  lerp(dst: readonly Activation[], xx: Activation, dx: Activation, mu: Vectors, m: readonly Activation[] = []): void {
    const split = this.#split(BLOCK, xx.channels);
    this.#record(
      OP_LERP,
      [xx, dx, ...m].map((a) => [a, split] as const),
      dst.map((a) => [a, split] as const),
      [
        xx.address,
        dx.address,
        xx.channels,
        mu.address,
        dst.length,
        m[0]?.address ?? 0,
        stride(m),
        dst[0]!.address,
        stride(dst),
      ],
    );
  }

  /** RWKV-4's channels; see assembly/wkv4.ts. acts: r, k, v. params: time_first and -exp(time_decay). */
  wkv4(
    out: Activation,
    acts: readonly Activation[],
    params: Vectors,
    aa: StatePart,
    bb: StatePart,
    pp: StatePart,
  ): void {
    const split = this.#split(BLOCK, out.channels);
    this.#record(
      OP_WKV4,
      acts.map((a) => [a, split] as const),
      [[out, split]],
      [acts[0]!.address, stride(acts), params.address, out.channels, aa.offset, bb.offset, pp.offset, out.address],
    );
  }

  /**
   * The heads of RWKV-5 and 6; see assembly/wkv6.ts. acts: r, k, v, from version 5.1 on g, in version 6 the decay's LoRA.
   * params: the decay, the bonus, ln_x weight and bias.
   */
  wkv6(
    out: Activation,
    acts: readonly Activation[],
    params: Vectors,
    headSize: number,
    eps: number,
    state: StatePart,
  ): void {
    this.#record(
      OP_WKV6,
      acts.map((a) => [a, "all"] as const),
      [[out, this.#split(headSize, out.channels)]],
      [
        acts[0]!.address,
        stride(acts),
        params.address,
        out.channels,
        headSize,
        bits(eps),
        state.offset,
        (acts.length > 3 ? WKV6_GATE : 0) | (acts.length > 4 ? WKV6_DECAY : 0),
        out.address,
      ],
    );
  }

  /** RWKV-7's heads; see assembly/wkv7.ts. acts: r, k, v and the LoRA outputs w, a, v, g. */
  wkv7(
    out: Activation,
    acts: readonly Activation[],
    params: Vectors,
    headSize: number,
    eps: number,
    state: StatePart,
    first: Activation,
    isFirstLayer: boolean,
  ): void {
    const split = this.#split(headSize, out.channels);
    const reads = acts.map((a) => [a, "all"] as const);
    this.#record(
      OP_WKV7,
      isFirstLayer ? reads : [...reads, [first, split]],
      [[out, split], ...(isFirstLayer ? [[first, split] as const] : [])],
      [
        acts[0]!.address,
        acts[1]!.address - acts[0]!.address,
        params.address,
        out.channels,
        headSize,
        bits(eps),
        state.offset,
        first.address,
        isFirstLayer ? 1 : 0,
        out.address,
      ],
    );
  }

  /**
   * Another operation on heads, which the kernels of some experiment have: `out` from `acts`, and what only it knows. Its fields are the
   * first of `acts`, the distance to the next, then `args`.
   */
  byHeads(op: number, out: Activation, acts: readonly Activation[], headSize: number, args: readonly number[]): void {
    this.#record(
      op,
      acts.map((a) => [a, "all"] as const),
      [[out, this.#split(headSize, out.channels)]],
      [acts[0]!.address, stride(acts), ...args],
    );
  }

  /** Keeps each session's last row in its slot. */
  keep(x: Activation, part: StatePart): void {
    this.#record(OP_KEEP, [[x, "all"]], [], [x.address, x.channels, part.offset]);
  }

  /** dst = layer norm of the rows whose logits are wanted. */
  gatherNorm(dst: Activation, x: Activation, norm: Norm): void {
    this.#norm = { weight: norm.weight.address, bias: norm.bias.address, eps: norm.eps };
    this.#record(
      OP_GATHER_NORM,
      [[x, "all"]],
      [[dst, "rows"]],
      [this.#headList, x.channels, norm.weight.address, norm.bias.address, bits(norm.eps), dst.address],
    );
  }

  /** From here on the rows are those whose logits are wanted; they lie in the slots, so everything before must be done. */
  heads(): void {
    this.#rowsAt = BATCH_HEADS;
    this.#fence();
  }

  // --- The end --------------------------------------------------------------------------------------------------------

  /** Closes the plan. `x`: the last layer's output; `hidden`: where it is kept; `logits`: the head's output. */
  finish(x: Activation, hidden: StatePart, logits: Activation): EngineSpec {
    const o = this.#options;
    this.#fence();
    const arena = this.#arena;
    const team = arena.alloc(TEAM_BYTES);
    const scratchStride = align(SCRATCH_BYTES + o.rows * PIECE * 4);
    const scratch = arena.alloc(scratchStride * o.ranks);
    const vocab = logits.channels;
    // More than the kernels ask for, which the engine checks: see `assembly/sample_area.ts`.
    const samplerWorkBytes = align(vocab * 4, 128) * 9 + 2 ** 17;
    const samplerWork = arena.alloc(samplerWorkBytes);
    const samplerBytes = align(vocab * 4) * 2 + align(vocab / 4) + 2 ** 15;
    const score = arena.alloc(scoreWords(MOST_ALTERNATIVES) * 4);
    const normed = arena.alloc(rowBytes(x.channels));
    const program = arena.alloc((this.#records.length + 2) * RECORD_BYTES);
    // Room for 32 rows of the widest matrix, as they come and as they are converted.
    const stagingBytes = align(Math.max(STAGING, this.#longestRow * PIECE));
    const packers = Math.min(PACKERS, o.ranks);
    const changing = stagingBytes * (LANDINGS + 1) + align(this.#longestRow + 512);
    const stagingStride = changing + align(this.#changeBytes);
    const staging = arena.alloc(stagingStride * packers);
    const merging = arena.alloc(this.#mergeBytes);
    const slotBytes = align(this.#slot, 128);
    // All sessions generating: one state that they stand on, one to come, one to go back to. What is measured beside them.
    const needed = (slotBytes * 3 + align(samplerBytes, 128)) * (o.sessions + INNER) + slotBytes * 4;
    const room = Math.max(0, LIMIT - align(arena.end) - needed);
    const cached = Math.min(MOST_CACHED, Math.floor(Math.min(o.cache ?? 0, room) / slotBytes));
    const places = o.sessions + INNER + cached;
    const directory = arena.alloc(places * 4);
    const heap = align(arena.end, 128);

    const image = new Uint32Array(((this.#records.length + 2) * RECORD_BYTES) / 4);
    image[H_TEAM / 4] = team;
    image[H_BATCH / 4] = this.#batch;
    image[H_SCRATCH / 4] = scratch;
    image[H_SCRATCH_STRIDE / 4] = scratchStride;
    this.#records.forEach((record, i) => {
      image.set(record, ((i + 1) * RECORD_BYTES) / 4);
    });
    image[((this.#records.length + 1) * RECORD_BYTES + F_OP) / 4] = OP_END;

    const bytes = heap + slotBytes * Math.min(SLOTS_AT_START, o.sessions + 2);
    if (bytes > (o.limit ?? LIMIT)) {
      throw new RwkvError(
        "memory",
        `The model needs ${gib(bytes)} (${gib(this.#weightBytes)} of weights), more than the ${gib(LIMIT)} that 32-bit WebAssembly can address. Load it with smaller weights, such as weights: "q8_0".`,
      );
    }
    return {
      bytes,
      maximumBytes: Math.min(LIMIT, heap + needed + slotBytes * cached),
      ranks: o.ranks,
      team,
      batch: this.#batch,
      program,
      image,
      rows: o.rows,
      heads: this.#heads,
      headList: this.#headList,
      x: x.address,
      xStride: rowBytes(x.channels),
      logits: logits.address,
      logitsStride: rowBytes(vocab),
      vocab,
      samplerWork,
      samplerWorkBytes,
      samplerBytes,
      score,
      directory,
      places,
      cached,
      sessions: o.sessions,
      heap,
      slotBytes,
      state: this.state,
      hidden: hidden.offset,
      width: x.channels,
      norm: this.#norm!,
      normed,
      packers,
      staging,
      stagingStride,
      stagingBytes,
      changing,
      merging,
      weightBytes: this.#weightBytes,
      far: this.#weightBytes > this.near,
    };
  }

  // --- Inside ---------------------------------------------------------------------------------------------------------

  #change(bytes: number): void {
    this.#changeBytes = Math.max(this.#changeBytes, bytes);
  }

  #weights(bytes: number, row: number): number {
    this.#weightBytes += bytes;
    this.#longestRow = Math.max(this.#longestRow, row);
    return this.#arena.alloc(bytes);
  }

  /** How `total` channels in units of `unit` are shared out; equal words mean equal shares. */
  #split(unit: number, total: number): string {
    return `${unit}*${Math.ceil(total / unit)}`;
  }

  #quantize(input: Activation): void {
    // By the ranks that wrote the channels, if their shares are whole blocks: then nobody has to wait.
    const unit = Number(input.writeSplit.split("*")[0]);
    const own = unit > 0 && unit % BLOCK === 0;
    const split = own ? input.writeSplit : this.#split(BLOCK, input.channels);
    this.#record(
      OP_QUANTIZE,
      [[input, split]],
      [[input, split]],
      [input.q8, input.address, rowBytes(input.channels), input.channels, own ? unit : BLOCK],
    );
    input.quantize = () => {};
  }

  #record(
    op: number,
    reads: readonly (readonly [Activation, string])[],
    writes: readonly (readonly [Activation, string])[],
    args: readonly number[],
  ): number[] {
    const conflict =
      reads.some(([a, split]) => a.written > this.#fenced && a.writeSplit !== split) ||
      writes.some(
        ([a, split]) =>
          (a.read > this.#fenced && a.readSplit !== split) || (a.written > this.#fenced && a.writeSplit !== split),
      );
    if (conflict) this.#fence();
    const record = new Array<number>(RECORD_BYTES / 4).fill(0);
    record[F_OP / 4] = op;
    record[F_ROWS / 4] = this.#batch + this.#rowsAt;
    args.forEach((a, i) => {
      record[F_ARGS / 4 + i] = a;
    });
    const index = this.#records.push(record) - 1;
    for (const [a, split] of reads) {
      a.readSplit = a.read > this.#fenced && a.readSplit !== split ? "all" : split;
      a.read = index;
    }
    for (const [a, split] of writes) {
      a.written = index;
      a.writeSplit = split;
      a.quantize = () => this.#quantize(a);
    }
    return record;
  }

  #fence(): void {
    const last = this.#records.length - 1;
    if (last < 0 || this.#fenced === last) return;
    this.#records[last]![F_FENCE / 4] = 1;
    this.#fenced = last;
  }
}
