/**
 * The end of memory, which grows: blocks that come and go while a model runs, such as states and samplers. There are few sizes
 * and many blocks of each, so what is given back waits for the next one of its size.
 */

import { RwkvError } from "../errors.ts";
import { align, gib, PAGE } from "./memory.ts";

export class Heap {
  readonly #memory: WebAssembly.Memory;
  readonly #most: number;
  readonly #free = new Map<number, number[]>();
  #end: number;

  /** `start`: the first address; `most`: the end of all memory that may be had. */
  constructor(memory: WebAssembly.Memory, start: number, most: number) {
    this.#memory = memory;
    this.#end = align(start, 128);
    this.#most = most;
  }

  /** An address, a multiple of 128; what is there is of yesterday. Views of the memory may be detached. Throws `RwkvError` "memory". */
  take(bytes: number): number {
    const size = align(bytes, 128);
    return this.#free.get(size)?.pop() ?? this.#grow(size);
  }

  give(address: number, bytes: number): void {
    const size = align(bytes, 128);
    const free = this.#free.get(size);
    if (free) free.push(address);
    else this.#free.set(size, [address]);
  }

  #grow(size: number): number {
    const at = this.#end;
    const end = at + size;
    const missing = end - this.#memory.buffer.byteLength;
    try {
      if (end > this.#most) throw new RangeError("beyond the maximum");
      if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    } catch (cause) {
      throw new RwkvError(
        "memory",
        `There is no room for ${gib(size)} more, a session's state or what a generation needs. Close sessions that are no longer needed, or load the model with a larger \`sessions\`.`,
        { cause },
      );
    }
    this.#end = end;
    return at;
  }
}
