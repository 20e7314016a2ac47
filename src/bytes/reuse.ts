/**
 * Memory for bytes on their way: used again where that is possible, given back where it is not. What is left to the garbage collector
 * piles up, by tens of megabytes, before it is collected.
 */

/** An array for `length` bytes: at the start of `into` if there is room, else a new one. */
export function room(length: number, into: ArrayBuffer | undefined): Uint8Array<ArrayBuffer> {
  return into && into.byteLength >= length ? new Uint8Array(into, 0, length) : new Uint8Array(length);
}

/** Whether each chunk of a stream is its reader's alone: byte streams take chunks over from whoever made them, others pass them on. */
export function isByteStream(stream: ReadableStream<Uint8Array>): boolean {
  try {
    stream.getReader({ mode: "byob" }).releaseLock();
    return true;
  } catch {
    return false;
  }
}

/** Bytes after which a platform tidies up. */
const TIDY = 4 << 20;

type Transferable = ArrayBuffer & { transfer?(length: number): ArrayBuffer };

/** The chunks of streams, once they were copied. */
export class Chunks {
  readonly #tidy: (() => void) | undefined;
  readonly #network: boolean;
  #bytes = 0;

  /** `tidy`: the platform's. `network`: the runtime leaves buffers of its own behind, besides the chunks. */
  constructor(tidy: (() => void) | undefined, network: boolean) {
    this.#tidy = tidy;
    this.#network = network;
  }

  /** Lets go of a chunk. `own`: nobody else has it; then its memory is given back at once, where the runtime can do that. */
  done(chunk: Uint8Array, own: boolean): void {
    const { length } = chunk;
    const buffer = chunk.buffer as Transferable;
    const free = own && buffer.transfer !== undefined;
    if (free) buffer.transfer!(0);
    if (free && !this.#network) return;
    this.#bytes += length;
    if (this.#bytes < TIDY) return;
    this.#bytes = 0;
    this.#tidy?.();
  }
}
