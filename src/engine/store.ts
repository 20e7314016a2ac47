/** Rows of tensors on their way into memory: changed by a LoRA or by factors, converted, packed, all by the kernels. */

import {
  F_ARGS,
  F_OP,
  MATMUL_INPUTS,
  MATMUL_OUTPUTS,
  MATMUL_TYPE,
  MATMUL_WEIGHTS,
  OP_END,
  OP_MATMUL,
  PIECE,
  RECORD_BYTES,
} from "../../assembly/ops.ts";
import { RwkvError } from "../errors.ts";
import type { Kernels } from "./kernels.ts";
import { align } from "./memory.ts";
import { changeRoom } from "./planner.ts";
import type { Port, Reply, Request, Rows } from "./protocol.ts";
import { type EngineSpec, FORMS, LANDINGS } from "./spec.ts";
import { tileKind, WEIGHT_TYPES, type WeightType } from "./weight-types.ts";

const DAMAGED = "an infinity or a NaN: the file is damaged or the model diverged";

export class Store {
  readonly #spec: EngineSpec;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: Kernels;
  /** The work place: where pieces land, and where there is room for changing matrices. */
  readonly #staging: number;
  readonly #changing: number;

  /** `rank`: whose work place this has. */
  constructor(spec: EngineSpec, memory: WebAssembly.Memory, kernels: Kernels, rank = 0) {
    this.#spec = spec;
    this.#memory = memory;
    this.#kernels = kernels;
    this.#staging = spec.staging + rank * spec.stagingStride;
    this.#changing = this.#staging + spec.changing;
  }

  /** Does what a request asks for, and says so; buffers that came with it go back. */
  answer({ job, rows }: Request & { kind: "rows" }, port: Pick<Port<Reply, Request>, "post">): void {
    const halved = this.store(rows);
    const spent: ArrayBuffer[] = [];
    if (typeof rows.data !== "number") spent.push(rows.data);
    if (rows.merge) spent.push(rows.merge.data);
    port.post({ kind: "done", job, spent, halved }, spent);
  }

  /**
   * Rows of a tensor: where they landed or into the work place, changed and converted if need be, packed. Answers whether they are
   * halved, if that was asked for: the first rows of a matrix decide; others that differ are not stored.
   */
  store(job: Rows): boolean {
    const { kind, name, address, from, to, columns, first, rows, inputs, form, times, data } = job;
    const { merge, scaling, searched } = job;
    const { stagingBytes } = this.#spec;
    const kernels = this.#kernels;
    const source = WEIGHT_TYPES[from];
    const target = WEIGHT_TYPES[to];
    const per = kernels.stored_bytes(source, columns);
    const staging = typeof data === "number" ? data : this.#staging;
    if (typeof data !== "number") {
      new Uint8Array(this.#memory.buffer, staging, rows * per).set(new Uint8Array(data, 0, rows * per));
    }
    this.#finite(name, staging, from, columns, rows, first, DAMAGED);
    const converted = this.#staging + stagingBytes * LANDINGS;
    if (kind === "vector") {
      kernels.to_f32(converted, staging, source, columns, converted + align(columns * 4, 128));
      if (scaling) {
        const room = changeRoom(0, columns);
        this.#place(room.byColumns, new Float32Array(scaling.columns!));
        this.#scale(converted, scaling, columns, 0, 1, room);
      }
      kernels.spread(address, converted, columns, times!, FORMS[form!]);
      return false;
    }
    const stored = kernels.stored_bytes(target, columns);
    if (kind === "table") {
      kernels.convert(address + first * stored, target, staging, source, rows, columns, converted);
      return false;
    }
    const piece = kernels.piece_bytes(target, columns);
    const scratch = converted + align(PIECE * stored);
    const room = changeRoom(merge?.rank ?? 0, columns);
    const { f32 } = WEIGHT_TYPES;
    if (scaling?.columns) this.#place(room.byColumns, new Float32Array(scaling.columns));
    if (job.halve && this.#storeHalved(job, staging)) return true;
    if (job.halve && first > 0) return false;
    for (let r = 0; r < rows; r += PIECE) {
      const count = Math.min(PIECE, rows - r);
      const own = staging + r * per;
      let at = own;
      let type = source;
      if (merge || scaling) {
        at = this.#changing + room.weights;
        type = f32;
        kernels.convert(at, f32, own, source, count, columns, scratch);
      }
      if (merge) this.#merge(merge, at, room, columns, r, count, first, scratch);
      if (scaling) this.#scale(at, scaling, columns, r, count, room);
      if (type !== source && !merge && !searched && !tileKind(from)) {
        kernels.convert(own, source, at, f32, count, columns, scratch);
        this.#finite(name, own, from, columns, count, first + r, `a number that is too large for ${from}`);
        at = own;
        type = source;
      }
      if (type !== target) {
        kernels.convert(converted, target, at, type, count, columns, scratch, searched);
        at = converted;
      }
      if (merge || type !== target) {
        this.#finite(name, at, to, columns, count, first + r, `a number that is too large for ${to}`);
      }
      if (inputs) kernels.pack_transposed(address, at, target, columns, inputs, first + r, count);
      else kernels.pack(address + ((first + r) / PIECE) * piece, at, target, count, columns, scratch);
    }
    return false;
  }

  /** Rows of f32 as bf16, made in the work place, so that what a matrix does not need never becomes memory; false if they are none. */
  #storeHalved({ address, columns, first, rows }: Rows, staging: number): boolean {
    const kernels = this.#kernels;
    const { f32 } = WEIGHT_TYPES;
    const heap = new Uint8Array(this.#memory.buffer);
    const bytes = kernels.piece_bytes(f32, columns);
    const made = this.#staging + this.#spec.stagingBytes * LANDINGS;
    for (let r = 0; r < rows; r += PIECE) {
      kernels.pack(made, staging + r * columns * 4, f32, Math.min(PIECE, rows - r), columns, made + bytes);
      if (!kernels.halve(made, columns * PIECE)) return false;
      heap.copyWithin(address + (((first + r) / PIECE) * bytes) / 2, made, made + bytes / 2);
    }
    return true;
  }

  /**
   * When all is stored: matrices of f32 that are bf16 in truth become so, and come from memory in half the time. `halved`: where those are
   * that are already.
   */
  halve(halved: readonly number[]): void {
    const { f32, bf16 } = WEIGHT_TYPES;
    const words = new Uint32Array(this.#memory.buffer, this.#spec.program, this.#spec.image.length);
    const known = new Map(halved.map((address) => [address, true]));
    for (let at = RECORD_BYTES / 4; words[at + F_OP / 4] !== OP_END; at += RECORD_BYTES / 4) {
      const args = words.subarray(at + F_ARGS / 4);
      if (words[at + F_OP / 4] !== OP_MATMUL || args[MATMUL_TYPE] !== f32) continue;
      const address = args[MATMUL_WEIGHTS]!;
      const count = Math.ceil(args[MATMUL_OUTPUTS]! / PIECE) * PIECE * args[MATMUL_INPUTS]!;
      const bf16InTruth = known.get(address) ?? this.#kernels.halve(address, count) !== 0;
      known.set(address, bf16InTruth);
      if (bf16InTruth) args[MATMUL_TYPE] = bf16;
    }
  }

  /** Multiplies `count` rows of f32, those from `r` on of the rows that came, by their factors; those of columns are in place. */
  #scale(
    at: number,
    { columns: byColumns, rows: byRows }: NonNullable<Rows["scaling"]>,
    columns: number,
    r: number,
    count: number,
    room: ChangeRoom,
  ): void {
    const changing = this.#changing;
    if (byRows) this.#place(room.byRows, new Float32Array(byRows, r * 4, count));
    this.#kernels.scale(
      at,
      count,
      columns,
      byColumns ? changing + room.byColumns : 0,
      byRows ? changing + room.byRows : 0,
    );
  }

  /** Puts factors where `#scale` looks for them. */
  #place(offset: number, factors: Float32Array): void {
    new Float32Array(this.#memory.buffer, this.#changing + offset, factors.length).set(factors);
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

  /** Adds a low-rank change to `count` (1..32) rows of f32, those from `r` on of the rows that came. */
  #merge(
    { name, from, rank, alpha, strength, data }: NonNullable<Rows["merge"]>,
    weights: number,
    room: ChangeRoom,
    columns: number,
    r: number,
    count: number,
    first: number,
    scratch: number,
  ): void {
    const kernels = this.#kernels;
    const { f32 } = WEIGHT_TYPES;
    const changing = this.#changing;
    const [b, wide, sums] = [room.b, room.wide, room.sums].map((offset) => changing + offset);
    const per = kernels.stored_bytes(WEIGHT_TYPES[from], rank);
    new Uint8Array(this.#memory.buffer, b, count * per).set(new Uint8Array(data, r * per, count * per));
    this.#finite(name, b!, from, rank, count, first + r, DAMAGED);
    kernels.convert(wide!, f32, b!, WEIGHT_TYPES[from], count, rank, scratch);
    // b a is a matmul whose tokens are the rows of b, and whose weights are a, which was packed like any matrix of inputs by outputs.
    const piece = kernels.piece_bytes(f32, rank);
    for (let c = 0; c < columns; c += PIECE) {
      kernels.matmul(f32, sums!, this.#spec.merging + (c / PIECE) * piece, wide!, rank * 4, rank, count, scratch);
      kernels.merge(weights + c * 4, columns * 4, sums!, Math.min(PIECE, columns - c), count, strength, alpha, rank);
    }
  }
}

type ChangeRoom = ReturnType<typeof changeRoom>;
