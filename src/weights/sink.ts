/** Where written files go, and how a tensor's data gets there. */
import { RwkvError } from "../errors.ts";

/** Where the bytes go: a file, an upload, an array. */
export interface Sink {
  /** Takes the next bytes. They may be changed by the caller once the promise is fulfilled. */
  write(bytes: Uint8Array): Promise<void>;
}

/** A tensor's data as it is stored, in pieces of any length. */
export type Data = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Writes one tensor's data. Throws `input` if it is not `size` bytes long; what the sink or the data throw passes through. */
export async function writeData(sink: Sink, name: string, size: number, data: Data): Promise<void> {
  let written = 0;
  for await (const piece of data) {
    written += piece.length;
    if (written > size) break;
    await sink.write(piece);
  }
  if (written !== size)
    throw new RwkvError("input", `tensor "${name}" takes ${size} bytes, but ${written} or more were given`);
}
