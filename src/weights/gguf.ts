/**
 * Reads the header of a GGUF file, version 2 or 3: metadata, and where each tensor's data lies. The data is not touched.
 *
 * The header's length is not written down anywhere, so it is read in growing ranges: `parse` is a plain function of the
 * bytes read so far, and is called again with more when they end too soon. Nothing a file claims is believed before it
 * was compared with the bytes that the file really has, so a hostile file costs no more than an honest one of its size.
 * (github.com/ggml-org/ggml, docs/gguf.md.)
 */
import { RwkvError } from "../errors.ts";
import type { DType, Source } from "../types.ts";
import { bytesOf, DTYPES, dtypeName, dtypeOf } from "./dtype.ts";
import { HEADER_LIMITS, Header, Short } from "./gguf-header.ts";
import { ALIGNMENT_KEY, DEFAULT_ALIGNMENT, type GgufValue, MAGIC } from "./gguf-values.ts";

/** One tensor as the file describes it. */
export interface GgufTensor {
  readonly name: string;
  readonly dtype: DType;
  /** Sizes as in the file, fastest first: `[inputs, outputs]` for a matrix. */
  readonly dims: readonly number[];
  /** Where the data starts in the file, and how many bytes it takes. */
  readonly offset: number;
  readonly bytes: number;
}

export interface Gguf {
  readonly version: number;
  /** Every tensor's data starts at a multiple of this many bytes after the header. */
  readonly alignment: number;
  /** In the file's order. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the file's order. */
  readonly tensors: readonly GgufTensor[];
}

/** Limits far above what models need: see `HEADER_LIMITS` for the rest. */
const LIMITS = { keys: 1 << 16, keyBytes: 0xffff, tensors: 1 << 16, nameBytes: 256, dims: 4, alignment: 1 << 24 };

/** The first range read; each next one makes it four times as much. */
const FIRST_READ = 256 << 10;

/** Fewest bytes that a metadata entry and a tensor's description take. */
const LEAST_KEY = 8 + 1 + 4 + 1;
const LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8;

/**
 * Reads and checks the header.
 *
 * Errors: `weights` when the file is damaged, cut off, or contradicts itself; `unsupported` for another version, byte
 * order or number format, and for a header beyond the limits. Every message names the file.
 */
export async function readGguf(source: Source, signal?: AbortSignal): Promise<Gguf> {
  let bytes = new Uint8Array(0);
  let want = Math.min(source.size, FIRST_READ);
  for (;;) {
    const longer = new Uint8Array(want);
    longer.set(bytes);
    longer.set(await source.read(bytes.length, want - bytes.length, signal), bytes.length);
    bytes = longer;
    try {
      return parse(new Header(bytes, source));
    } catch (short) {
      if (!(short instanceof Short)) throw short;
      want = Math.min(source.size, HEADER_LIMITS.bytes, Math.max(short.end, want * 4));
    }
  }
}

function parse(header: Header): Gguf {
  if (header.u32() !== MAGIC) throw header.damaged(`it does not start with "GGUF"`);
  const version = header.u32();
  // Versions are small numbers, so one whose low half is empty was written the other way round.
  if (version !== 0 && (version & 0xffff) === 0)
    throw header.unsupported("it is a big-endian GGUF file; convert it to little-endian first");
  if (version !== 2 && version !== 3)
    throw header.unsupported(`it is GGUF version ${version}; this reader takes versions 2 and 3`);
  header.what = "the number of tensors";
  const tensorCount = header.count(LEAST_TENSOR, LIMITS.tensors, "descriptions of tensors");
  header.what = "the number of metadata keys";
  const keyCount = header.count(LEAST_KEY, LIMITS.keys, "metadata keys");
  const metadata = readMetadata(header, keyCount);
  const alignment = alignmentOf(header, metadata);
  return { version, alignment, metadata, tensors: readTensors(header, tensorCount, alignment) };
}

function readMetadata(header: Header, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    header.what = `the name of metadata key ${i}`;
    const key = header.string(LIMITS.keyBytes);
    header.what = `metadata key "${key}"`;
    if (metadata.has(key)) throw header.damaged(`${header.what} is there twice`);
    metadata.set(key, header.value());
  }
  return metadata;
}

function alignmentOf(header: Header, metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get(ALIGNMENT_KEY);
  if (!value) return DEFAULT_ALIGNMENT;
  if (value.type !== "u32" || value.value > LIMITS.alignment || !isPowerOfTwo(value.value)) {
    const given =
      value.type === "array" || value.type === "string" ? `of type ${value.type}` : `${value.value} (${value.type})`;
    throw header.damaged(`${ALIGNMENT_KEY} is ${given}, not a u32 power of two up to ${LIMITS.alignment}`);
  }
  return value.value;
}

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;

function readTensors(header: Header, count: number, alignment: number): GgufTensor[] {
  const found: GgufTensor[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    header.what = `the name of tensor ${i}`;
    const name = header.string(LIMITS.nameBytes);
    header.what = `tensor "${name}"`;
    if (names.has(name)) throw header.damaged(`${header.what} is there twice`);
    names.add(name);
    const dims = readDims(header);
    const id = header.u32();
    const dtype = dtypeOf(id);
    if (!dtype)
      throw header.unsupported(`${header.what} is stored as ${dtypeName(id)}, a type that this reader does not take`);
    const bytes = tensorBytes(header, dtype, dims);
    const offset = header.size();
    if (offset % alignment !== 0)
      throw header.damaged(
        `${header.what} starts at data byte ${offset}, which is not a multiple of the alignment ${alignment}`,
      );
    found.push({ name, dtype, dims, offset, bytes });
  }
  const start = Math.ceil(header.at / alignment) * alignment;
  const tensors = found.map((tensor) => ({ ...tensor, offset: start + tensor.offset }));
  checkPlaces(header, tensors);
  return tensors;
}

function readDims(header: Header): number[] {
  const rank = header.u32();
  if (rank < 1 || rank > LIMITS.dims)
    throw header.damaged(`${header.what} has ${rank} dimensions; 1 to ${LIMITS.dims} are possible`);
  const dims: number[] = [];
  for (let d = 0; d < rank; d++) dims.push(header.size());
  return dims;
}

function tensorBytes(header: Header, dtype: DType, dims: readonly number[]): number {
  let count = 1;
  for (const n of dims) {
    if (n === 0) throw header.damaged(`${header.what} is empty: its sizes are ${dims.join(" x ")}`);
    count *= n;
  }
  const { values } = DTYPES[dtype];
  if (dims[0] % values !== 0)
    throw header.damaged(`${header.what} has rows of ${dims[0]} numbers, but ${dtype} comes in blocks of ${values}`);
  const bytes = bytesOf(dtype, count);
  if (bytes === undefined) throw header.damaged(`${header.what} has the impossible sizes ${dims.join(" x ")}`);
  return bytes;
}

/** Every tensor must lie within the file, and no two may share bytes. */
function checkPlaces(header: Header, tensors: readonly GgufTensor[]): void {
  const { name, size } = header.source;
  const inOrder = tensors.toSorted((a, b) => a.offset - b.offset);
  for (let i = 1; i < inOrder.length; i++) {
    const [before, after] = [inOrder[i - 1], inOrder[i]];
    if (before.offset + before.bytes > after.offset)
      throw header.damaged(`tensors "${before.name}" and "${after.name}" overlap at byte ${after.offset}`);
  }
  const last = inOrder.at(-1);
  const end = last ? last.offset + last.bytes : 0;
  if (end <= size) return;
  const cut = inOrder.find((tensor) => tensor.offset + tensor.bytes > size)!;
  const where = `tensor "${cut.name}" takes bytes ${cut.offset} to ${cut.offset + cut.bytes}`;
  throw new RwkvError(
    "weights",
    `${name} is cut off: ${where}, but the file ends at byte ${size} (${end - size} bytes are missing in all); download it again`,
  );
}
