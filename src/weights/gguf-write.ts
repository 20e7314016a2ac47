/**
 * Writes a GGUF file, version 3, to anything that takes bytes in order. Only the header is held in memory: a tensor's
 * data comes in pieces, so a file may be larger than memory. Writing back what `readGguf` gave, in its order, gives the
 * same bytes.
 */
import { RwkvError } from "../errors.ts";
import type { DType } from "../types.ts";
import { bytesOf, DTYPES } from "./dtype.ts";
import {
  ALIGNMENT_KEY,
  ARRAY_ID,
  DEFAULT_ALIGNMENT,
  type GgufValue,
  MAGIC,
  type NumberList,
  SCALARS,
  STRING_ID,
} from "./gguf-values.ts";
import { type Data, type Sink, writeData } from "./sink.ts";

const VERSION = 3;

/** A tensor to write. */
export interface GgufEntry {
  readonly name: string;
  readonly dtype: DType;
  /** Fastest first: `[inputs, outputs]` for a matrix. */
  readonly dims: readonly number[];
  /** Called once, when its turn comes. */
  data(): Data;
}

/**
 * Writes header and data. The alignment is what the metadata's `general.alignment` says, else 32.
 *
 * Errors: `input` for a tensor that its type cannot hold, a name given twice, or data of another length than the tensor
 * has; what the sink or the data throw passes through. What was written by then is not a valid file.
 */
export async function writeGguf(
  sink: Sink,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufEntry[],
): Promise<void> {
  const alignment = alignmentOf(metadata);
  const padding = (length: number) => (alignment - (length % alignment)) % alignment;
  const sizes = sizesOf(tensors);

  const header = new Output();
  header.u32(MAGIC);
  header.u32(VERSION);
  header.size(tensors.length);
  header.size(metadata.size);
  for (const [key, value] of metadata) {
    header.string(key);
    writeValue(header, value);
  }
  let offset = 0;
  for (const [i, { name, dtype, dims }] of tensors.entries()) {
    header.string(name);
    header.u32(dims.length);
    for (const n of dims) header.size(n);
    header.u32(DTYPES[dtype].id);
    header.size(offset);
    offset += sizes[i] + padding(sizes[i]);
  }
  header.skip(padding(header.length));
  await sink.write(header.bytes());

  for (const [i, { name, data }] of tensors.entries()) {
    await writeData(sink, name, sizes[i], data());
    if (padding(sizes[i]) > 0) await sink.write(new Uint8Array(padding(sizes[i])));
  }
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get(ALIGNMENT_KEY);
  if (!value) return DEFAULT_ALIGNMENT;
  if (value.type !== "u32" || value.value < 1 || (value.value & (value.value - 1)) !== 0)
    throw new RwkvError("input", `${ALIGNMENT_KEY} must be a u32 power of two`);
  return value.value;
}

/** Bytes of each tensor. */
function sizesOf(tensors: readonly GgufEntry[]): number[] {
  const names = new Set<string>();
  return tensors.map(({ name, dtype, dims }) => {
    if (names.has(name)) throw new RwkvError("input", `tensor "${name}" is given twice`);
    names.add(name);
    const count = dims.reduce((product, n) => product * n, 1);
    const size =
      dims.length >= 1 && dims.length <= 4 && dims[0] % DTYPES[dtype].values === 0 ? bytesOf(dtype, count) : 0;
    if (!size)
      throw new RwkvError("input", `tensor "${name}" of sizes ${dims.join(" x ")} cannot be stored as ${dtype}`);
    return size;
  });
}

function writeValue(out: Output, value: GgufValue): void {
  if (value.type === "string") {
    out.u32(STRING_ID);
    out.string(value.value);
  } else if (value.type === "array") {
    out.u32(ARRAY_ID);
    if (value.of === "string") {
      out.u32(STRING_ID);
      out.size(value.value.length);
      for (const text of value.value) out.string(text);
    } else {
      const { id, bytes, set } = SCALARS[value.of];
      out.u32(id);
      out.size(value.value.length);
      const list = value.value as unknown as NumberList;
      for (let i = 0; i < list.length; i++) out.put(bytes, set, list[i]);
    }
  } else {
    const { id, bytes, set } = SCALARS[value.type];
    out.u32(id);
    out.put(bytes, set, value.type === "bool" ? Number(value.value) : value.value);
  }
}

/** A growing run of little-endian bytes. */
class Output {
  length = 0;
  private buffer = new Uint8Array(1 << 16);
  private view = new DataView(this.buffer.buffer);
  private readonly text = new TextEncoder();

  bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  /** Leaves `length` zero bytes: where they start. */
  skip(length: number): number {
    const start = this.length;
    this.length += length;
    if (this.length > this.buffer.length) {
      const larger = new Uint8Array(Math.max(this.length, this.buffer.length * 2));
      larger.set(this.buffer);
      this.buffer = larger;
      this.view = new DataView(larger.buffer);
    }
    return start;
  }

  /** One value, `bytes` long, laid out by `set`. */
  put<T>(bytes: number, set: (view: DataView, at: number, value: T) => void, value: T): void {
    const at = this.skip(bytes);
    set(this.view, at, value);
  }

  u32(value: number): void {
    this.put(4, SCALARS.u32.set, value);
  }

  size(value: number): void {
    this.put(8, SCALARS.u64.set, BigInt(value));
  }

  string(text: string): void {
    const encoded = this.text.encode(text);
    this.size(encoded.length);
    const at = this.skip(encoded.length);
    this.buffer.set(encoded, at);
  }
}
