/** Numbers from one type into another, and logarithms, by the kernels in a small memory of their own: for tools that write weights files. */

import { instantiateAlone, type Kernels } from "./kernels.ts";
import { Arena } from "./memory.ts";
import { WEIGHT_TYPES, type WeightType } from "./weight-types.ts";

/** Most numbers in one piece; a multiple of every type's block. The memory is about three times as many f32. */
export const PIECE_NUMBERS = 1 << 18;

/** A compiled build of the kernels. */
export type KernelModule = Parameters<typeof instantiateAlone>[0];

export class Converter {
  readonly #kernels: Kernels;
  readonly #bytes: Uint8Array;
  readonly #from: number;
  readonly #to: number;
  readonly #scratch: number;

  constructor(module: KernelModule) {
    const arena = new Arena();
    this.#from = arena.alloc(PIECE_NUMBERS * 4);
    this.#to = arena.alloc(PIECE_NUMBERS * 4);
    this.#scratch = arena.alloc(PIECE_NUMBERS * 4 + 512);
    const { kernels, memory } = instantiateAlone(module, arena.end);
    this.#kernels = kernels;
    this.#bytes = new Uint8Array(memory.buffer);
  }

  /**
   * `piece` holds `count` (up to PIECE_NUMBERS) numbers of type `from`, of block types a whole number of blocks. The answer
   * holds them as `to`, and is good until the next call. A type converted to itself keeps its bits.
   * `searched`: to q4_0 or q5_0 with scales of least error.
   *
   * `finite` says whether all numbers were finite before and after: what is finite in a wide type may not be in a narrow one.
   */
  convert(
    piece: Uint8Array,
    from: WeightType,
    to: WeightType,
    count: number,
    searched = false,
  ): { bytes: Uint8Array; finite: { before: boolean; after: boolean } } {
    const [source, target] = [WEIGHT_TYPES[from], WEIGHT_TYPES[to]];
    this.#bytes.set(piece, this.#from);
    this.#kernels.convert(this.#to, target, this.#from, source, 1, count, this.#scratch, searched);
    return {
      bytes: this.#bytes.subarray(this.#to, this.#to + this.#kernels.stored_bytes(target, count)),
      finite: {
        before: this.#kernels.not_finite(this.#from, source, count) < 0,
        after: this.#kernels.not_finite(this.#to, target, count) < 0,
      },
    };
  }

  /** Up to PIECE_NUMBERS logarithms in place. The numbers must be finite, above zero, and not subnormal. */
  log(x: Float32Array): void {
    const from = new Float32Array(this.#bytes.buffer, this.#from, Math.ceil(x.length / 4) * 4);
    from.fill(1).set(x);
    this.#kernels.log4(this.#to, this.#from, from.length);
    x.set(new Float32Array(this.#bytes.buffer, this.#to, x.length));
  }
}
