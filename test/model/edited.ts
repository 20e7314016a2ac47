/** Files that are almost sound: a fixture with some of its tensors or its metadata changed. */
import { bytesSource } from "../../src/bytes/source.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import type { GgufValue } from "../../src/weights/gguf-values.ts";
import { type GgufEntry, writeGguf } from "../../src/weights/gguf-write.ts";
import { fixture, joined } from "../weights/support.ts";

/** A tensor whose bytes are at hand. */
export interface Held extends Omit<GgufEntry, "data"> {
  bytes: Uint8Array<ArrayBuffer>;
}

/** A fixture in GGUF after `change`; tensors by their names in the file. */
export async function edited(
  name: string,
  change: (tensors: Map<string, Held>, metadata: Map<string, GgufValue>) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = fixture(name);
  const { metadata, tensors } = await readGguf(bytesSource(name, file));
  const held = new Map(
    tensors.map(({ name, dtype, dims, offset, bytes }) => [
      name,
      { name, dtype, dims, bytes: file.slice(offset, offset + bytes) },
    ]),
  );
  const keys = new Map(metadata);
  change(held, keys);
  const parts: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void parts.push(bytes.slice()) };
  await writeGguf(
    sink,
    keys,
    [...held.values()].map(({ bytes, ...entry }) => ({ ...entry, data: () => [bytes] })),
  );
  return joined(...parts) as Uint8Array<ArrayBuffer>;
}
