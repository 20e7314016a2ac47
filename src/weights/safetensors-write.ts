/**
 * Writes a safetensors file to anything that takes bytes in order. Only the header is held in memory: a tensor's data comes
 * in pieces, so a file may be larger than memory. (github.com/huggingface/safetensors)
 */
import { RwkvError } from "../errors.ts";
import { type Data, type Sink, writeData } from "./sink.ts";

/** The types that are written, with their names in the file and their bytes. */
const TYPES = { f32: ["F32", 4], f16: ["F16", 2], bf16: ["BF16", 2] } as const;
export type SafetensorsType = keyof typeof TYPES;
export const SAFETENSORS_TYPES = Object.keys(TYPES) as readonly SafetensorsType[];

/** A tensor to write. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsType;
  /** Slowest first. */
  readonly shape: readonly number[];
  /** Called once, when its turn comes. */
  data(): Data;
}

/** The data starts at a multiple of this. */
const ALIGNMENT = 8;

/**
 * Writes header and data. Wide numbers go first, so that all lie at multiples of their size, whatever the tensors' sizes.
 *
 * Errors: `input` for impossible sizes, a name given twice, or data of another length than the tensor has; what the sink or
 * the data throw passes through. What was written by then is not a valid file.
 */
export async function writeSafetensors(
  sink: Sink,
  metadata: Readonly<Record<string, string>>,
  tensors: readonly SafetensorsEntry[],
): Promise<void> {
  const inOrder = tensors.toSorted((a, b) => TYPES[b.dtype][1] - TYPES[a.dtype][1]);
  const header = new Map<string, object>([["__metadata__", metadata]]);
  let end = 0;
  const sizes = inOrder.map(({ name, dtype, shape }) => {
    const [type, width] = TYPES[dtype];
    const size = shape.reduce((product, n) => product * n, width);
    if (!Number.isSafeInteger(size) || size <= 0 || !shape.every((n) => Number.isInteger(n) && n > 0))
      throw new RwkvError("input", `tensor "${name}" of sizes ${shape.join(" x ")} cannot be stored`);
    if (header.has(name)) throw new RwkvError("input", `tensor "${name}" is given twice`);
    header.set(name, { dtype: type, shape, data_offsets: [end, end + size] });
    end += size;
    return size;
  });
  await sink.write(headerBytes(header));
  for (const [i, { name, data }] of inOrder.entries()) await writeData(sink, name, sizes[i], data());
}

/** The header's length, then its JSON, filled up with spaces. Written key by key: an object would sort some names. */
function headerBytes(header: ReadonlyMap<string, object>): Uint8Array {
  const entries = Array.from(header, ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const length = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}
