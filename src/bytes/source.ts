/**
 * Bytes that can be read by range, so that a file of gigabytes is never in memory as a whole. Every weights reader takes
 * a `Source`; this file makes one from an array and from a Blob, and holds what all sources share.
 */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { Chunks, isByteStream, room } from "./reuse.ts";
import { unlessAborted } from "./wait.ts";

/**
 * Throws `weights` unless `length` bytes from `offset` lie inside the source. Every implementation of `read` calls this
 * first, before it allocates.
 */
export function checkRange(source: Pick<Source, "name" | "size">, offset: number, length: number): void {
  const { name, size } = source;
  const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!sound || offset > size - length)
    throw new RwkvError(
      "weights",
      `${name}: ${length} bytes from byte ${offset} were asked for, but it has ${size} bytes`,
    );
}

/** Throws `closed` for a read after `close`. */
export function closedSource(name: string): RwkvError {
  return new RwkvError("closed", `${name} was closed; open it again to read from it`);
}

/** A source over bytes in memory. They are not copied: leave them unchanged until `close`, which lets go of them. */
export function bytesSource(name: string, bytes: Uint8Array): Source {
  let held: Uint8Array | undefined = bytes;
  const size = bytes.byteLength;
  return {
    name,
    size,
    async read(offset, length, signal, into) {
      signal?.throwIfAborted();
      if (!held) throw closedSource(name);
      checkRange(this, offset, length);
      const copy = room(length, into);
      copy.set(held.subarray(offset, offset + length));
      return copy;
    },
    async readInto(offset, into, signal) {
      signal?.throwIfAborted();
      if (!held) throw closedSource(name);
      checkRange(this, offset, into.length);
      into.set(held.subarray(offset, offset + into.length));
    },
    async close() {
      held = undefined;
    },
  };
}

/** A source over a Blob, or over a File that a user chose, whose name it takes. `tidy`: the platform's. */
export function blobSource(blob: Blob, tidy?: () => void): Source {
  const title = (blob as Partial<File>).name ?? "Blob";
  const chunks = new Chunks(tidy, false);
  let held: Blob | undefined = blob;
  const { size } = blob;
  return {
    name: title,
    size,
    async read(offset, length, signal, into) {
      signal?.throwIfAborted();
      if (!held) throw closedSource(title);
      checkRange(this, offset, length);
      const bytes = room(length, into);
      // As a stream, since `arrayBuffer()` makes a buffer for every read.
      const stream = held.slice(offset, offset + length).stream();
      const own = isByteStream(stream);
      const reader = stream.getReader();
      let at = 0;
      try {
        for (;;) {
          const { done, value } = await unlessAborted(reader.read().catch(failed), signal);
          if (done) break;
          const { length: count } = value;
          if (at + count <= length) bytes.set(value, at);
          at += count;
          chunks.done(value, own);
        }
      } finally {
        reader.cancel().catch(() => {}); // what was read is all that counts
      }
      if (at !== length)
        throw new RwkvError("weights", `${title}: ${at} bytes came from byte ${offset} instead of ${length}`);
      return bytes;

      function failed(cause: unknown): never {
        const where = `${length} bytes from byte ${offset}`;
        throw new RwkvError("weights", `${title}: reading ${where} failed; was the file changed or removed?`, {
          cause,
        });
      }
    },
    async close() {
      held = undefined;
    },
  };
}

/** `length` bytes from `offset`, in pieces of at most `piece` bytes, one after the other: for data larger than memory should hold. */
export async function* readPieces(
  source: Source,
  offset: number,
  length: number,
  signal?: AbortSignal,
  piece = 1 << 20,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let done = 0; done < length; done += piece)
    yield await source.read(offset + done, Math.min(piece, length - done), signal);
}
