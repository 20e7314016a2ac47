/** Rows of tensors on their way into memory: converted, merged with a LoRA, packed, all by the kernels. */

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
import { mergeRoom } from "./planner.ts";
import type { Rows } from "./protocol.ts";
import { type EngineSpec, FORMS } from "./spec.ts";
import { tileKind, WEIGHT_TYPES, type WeightType } from "./weight-types.ts";

const DAMAGED = "an infinity or a NaN: the file is damaged or the model diverged";

export class Store {
  readonly #spec: EngineSpec;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: Kernels;

  constructor(spec: EngineSpec, memory: WebAssembly.Memory, kernels: Kernels) {
    this.#spec = spec;
    this.#memory = memory;
    this.#kernels = kernels;
  }

  /** Rows of a tensor: into the staging area, converted if need be, packed. */
  store({ kind, name, address, from, to, columns, first, rows, inputs, form, times, merge, data }: Rows): void {
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

  /** When all is stored: matrices of f32 that are bf16 in truth become so, and come from memory in half the time. */
  halve(): void {
    const { f32, bf16 } = WEIGHT_TYPES;
    const words = new Uint32Array(this.#memory.buffer, this.#spec.program, this.#spec.image.length);
    const known = new Map<number, boolean>();
    for (let at = RECORD_BYTES / 4; words[at + F_OP / 4] !== OP_END; at += RECORD_BYTES / 4) {
      const args = words.subarray(at + F_ARGS / 4);
      if (words[at + F_OP / 4] !== OP_MATMUL || args[MATMUL_TYPE] !== f32) continue;
      const address = args[MATMUL_WEIGHTS]!;
      const count = Math.ceil(args[MATMUL_OUTPUTS]! / PIECE) * PIECE * args[MATMUL_INPUTS]!;
      const halved = known.get(address) ?? this.#kernels.halve(address, count) !== 0;
      known.set(address, halved);
      if (halved) args[MATMUL_TYPE] = bf16;
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
}
