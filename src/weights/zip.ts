/**
 * The files inside a zip archive that stores them uncompressed, as torch.save does: where each one's bytes lie. The archive's
 * directory is read by zip.js; the bytes themselves are read by range, by whoever wants them.
 */
import { checkRange } from "../bytes/source.ts";
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";

/** Limits far above what models need. A thousand tensors make a directory of 100 kB. */
const LIMITS = { entries: 1 << 16, read: 16 << 20 };

const LOCAL_HEADER = { bytes: 30, signature: 0x04034b50 };

/** A file in the archive. */
export interface ZipEntry {
  readonly name: string;
  /** Where its own header starts; the data comes after that. */
  readonly header: number;
  /** Bytes. */
  readonly size: number;
  readonly stored: boolean;
}

/**
 * The archive's files by name.
 *
 * Errors: `weights`, naming the archive, when it is damaged, cut off, or holds two files of one name; `unsupported` beyond
 * the limits.
 */
export async function readZip(source: Source, signal?: AbortSignal): Promise<Map<string, ZipEntry>> {
  const { name, size } = source;
  const { ZipReader } = await import("@zip.js/zip.js/lib/zip-core-reader.js");
  let failure: unknown;
  let length = 0;
  const reader = {
    size,
    async readUint8Array(offset: number, wanted: number): Promise<Uint8Array> {
      try {
        // zip.js asks for ranges that reach past the end, and takes what there is.
        const from = Math.max(0, Math.min(offset, size));
        const count = Math.max(0, Math.min(wanted, size - from));
        length += count;
        if (length > LIMITS.read)
          throw new RwkvError("unsupported", `${name}: its directory takes more than ${LIMITS.read} bytes`);
        return await source.read(from, count, signal);
      } catch (error) {
        failure ??= error;
        throw error;
      }
    },
  };
  const entries = new Map<string, ZipEntry>();
  try {
    for await (const entry of new ZipReader(reader as never).getEntriesGenerator()) {
      const { filename, offset, compressedSize, uncompressedSize, compressionMethod, encrypted } = entry;
      const stored = compressionMethod === 0 && !encrypted && compressedSize === uncompressedSize;
      if (entries.has(filename)) throw new Error(`two files are called ${JSON.stringify(filename.slice(0, 100))}`);
      if (entries.size === LIMITS.entries) {
        failure = new RwkvError("unsupported", `${name} holds more than ${LIMITS.entries} files`);
        throw failure;
      }
      entries.set(filename, { name: filename, header: offset, size: uncompressedSize, stored });
    }
  } catch (cause) {
    if (failure) throw failure;
    // What is thrown as a plain error is a sentence of zip.js; anything else speaks of its insides.
    const problem = cause instanceof Error && cause.constructor === Error ? ` (${cause.message})` : "";
    throw new RwkvError(
      "weights",
      `${name}: the directory at the end of the zip archive cannot be read${problem}; the file is cut off or damaged: download it again`,
      { cause },
    );
  }
  return entries;
}

/**
 * A file in the archive as a source, whose `close` does nothing: the archive is somebody else's.
 *
 * Errors: `unsupported` for compressed or encrypted files; `weights`, at once or when it is first read, when the archive
 * contradicts itself.
 */
export function entrySource(archive: Source, entry: ZipEntry): Source {
  const { name, header, size, stored } = entry;
  const wrong = (problem: string) =>
    new RwkvError("weights", `${archive.name}: "${name}" in the zip archive ${problem}`);
  if (!stored)
    throw new RwkvError(
      "unsupported",
      `${archive.name}: "${name}" in the zip archive is compressed, so it cannot be read by range; save the model with torch.save`,
    );
  const encoded = new TextEncoder().encode(name);
  const length = LOCAL_HEADER.bytes + encoded.length;
  const checkEnd = (start: number) => {
    if (!(start >= length && start + size <= archive.size))
      throw wrong(`takes ${size} bytes from byte ${start}, beyond the end; the file is cut off or damaged`);
    return start;
  };
  checkEnd(header + length);
  return lateSource(archive, size, async (signal) => {
    const bytes = await archive.read(header, length, signal);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const same =
      view.getUint32(0, true) === LOCAL_HEADER.signature &&
      view.getUint16(26, true) === encoded.length &&
      encoded.every((byte, i) => byte === bytes[LOCAL_HEADER.bytes + i]);
    if (!same) throw wrong(`is not at byte ${header}, where it should be; the file is damaged`);
    return checkEnd(header + length + view.getUint16(28, true));
  });
}

/**
 * `size` bytes of a source from a place that only what lies before it tells. It is found at the first read, so that opening
 * a file over a network does not take a request for every tensor.
 */
export function lateSource(source: Source, size: number, start: (signal?: AbortSignal) => Promise<number>): Source {
  let found: Promise<number> | undefined;
  const place = (signal?: AbortSignal) => {
    found ??= start(signal).catch((error) => {
      found = undefined; // an abort of this read is no answer to the next one
      throw error;
    });
    return found;
  };
  const part: Source = {
    name: source.name,
    size,
    async read(offset, length, signal, into) {
      checkRange(part, offset, length);
      return await source.read((await place(signal)) + offset, length, signal, into);
    },
    ...(source.readInto && {
      async readInto(offset: number, into: Uint8Array, signal?: AbortSignal) {
        checkRange(part, offset, into.length);
        await source.readInto!((await place(signal)) + offset, into, signal);
      },
    }),
    close: async () => {},
  };
  return part;
}
