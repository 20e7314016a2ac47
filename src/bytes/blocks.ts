/**
 * Bytes as they arrive: a run that grows at its end and may be cut at its start. They lie in blocks of one size, so that
 * growing moves nothing, whatever the pieces they come in.
 */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { room } from "./reuse.ts";
import { checkRange, closedSource } from "./source.ts";

const BLOCK = 256 << 10;
/** The most that is held of one file. A larger one has to be read by range, from a disk or a server that can. */
const MOST = 2 ** 32;

export class Blocks {
  #blocks: Uint8Array<ArrayBuffer>[] = [];
  /** Blocks that were cut off, to be used again. */
  #spare: Uint8Array<ArrayBuffer>[] = [];
  /** Where the first block starts. */
  #origin: number;
  #end: number;

  /** `start`: the offset of the first byte that will be appended. `most`: bytes held at a time. */
  constructor(
    readonly name: string,
    start = 0,
    readonly most = MOST,
  ) {
    this.#origin = start;
    this.#end = start;
  }

  /** Offset of the first byte that is held. */
  get start(): number {
    return this.#origin;
  }

  /** Offset after the last byte that is held. */
  get end(): number {
    return this.#end;
  }

  /** Throws `memory` when a file of that many bytes cannot be held. */
  checkSize(size: number): void {
    if (size > this.most)
      throw new RwkvError(
        "memory",
        `${this.name} has to be held in memory as it arrives, and is larger than ${this.most} bytes; save it to a file, or serve it with range requests`,
      );
  }

  /** Adds a copy of the bytes. Throws `memory`. */
  append(bytes: Uint8Array): void {
    this.checkSize(this.#end - this.#origin + bytes.length);
    for (let done = 0; done < bytes.length; ) {
      const used = (this.#end - this.#origin) % BLOCK;
      if (used === 0) this.#blocks.push(this.#spare.pop() ?? this.#allocate());
      const piece = bytes.subarray(done, done + BLOCK - used);
      this.#blocks.at(-1)!.set(piece, used);
      this.#end += piece.length;
      done += piece.length;
    }
  }

  #allocate(): Uint8Array<ArrayBuffer> {
    try {
      return new Uint8Array(BLOCK);
    } catch (cause) {
      const held = this.#end - this.#origin;
      throw new RwkvError("memory", `${this.name} does not fit into memory: ${held} bytes of it did`, { cause });
    }
  }

  /** Fills `into` with the bytes from `offset` on; all of them must be held. */
  copy(offset: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const at = offset - this.#origin + done;
      const piece = this.#blocks[Math.floor(at / BLOCK)]!.subarray(at % BLOCK, (at % BLOCK) + into.length - done);
      into.set(piece, done);
      done += piece.length;
    }
  }

  /** Lets go of blocks that end at or before `offset`. */
  drop(offset: number): void {
    const count = Math.min(this.#blocks.length, Math.floor((offset - this.#origin) / BLOCK));
    if (count <= 0) return;
    this.#spare.push(...this.#blocks.splice(0, count));
    this.#origin = Math.min(this.#origin + count * BLOCK, this.#end);
  }

  /** Lets go of everything; the next byte that is appended is the one at `offset`. */
  restart(offset: number): void {
    this.#spare.push(...this.#blocks.splice(0));
    this.#origin = offset;
    this.#end = offset;
  }
}

/** A source over bytes that have all arrived. `close` lets go of them. */
export function blocksSource(blocks: Blocks): Source {
  const { name, end: size } = blocks;
  let held: Blocks | undefined = blocks;
  return {
    name,
    size,
    async read(offset, length, signal, into) {
      signal?.throwIfAborted();
      if (!held) throw closedSource(name);
      checkRange(this, offset, length);
      const bytes = room(length, into);
      held.copy(offset, bytes);
      return bytes;
    },
    async close() {
      held = undefined;
    },
  };
}
