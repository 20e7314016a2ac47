/**
 * Reads the header of a `.safetensors` file: a length, then JSON that says of each tensor its type, sizes, and first and last
 * byte. The format's rules are kept: the tensors fill the rest of the file, without holes and without sharing bytes, so two
 * readers cannot see different things in one file. (github.com/huggingface/safetensors)
 */

import { isRecord, parseJson } from "../bytes/json.ts";
import { RwkvError } from "../errors.ts";
import type { DType, Source } from "../types.ts";
import type { FileTensor } from "./names.ts";

/** Far above what models need: a model of a thousand tensors has a header of 150 kB. */
const LIMITS = { header: 16 << 20, tensors: 1 << 16, name: 256, dims: 8 };

/** Enough for the header of most models, so that one read will do. */
const FIRST_READ = 256 << 10;

const DTYPES: Readonly<Record<string, DType>> = { F32: "f32", F16: "f16", BF16: "bf16" };
const BYTES: Readonly<Record<string, number | undefined>> = { f32: 4, f16: 2, bf16: 2 };

/**
 * The tensors, in the order of their data.
 *
 * Errors: `weights`, naming the file, when it is damaged, cut off, or contradicts itself; `unsupported` for a header beyond
 * the limits. Types other than F32, F16 and BF16 are listed under their own name.
 */
export async function readSafetensors(source: Source, signal?: AbortSignal): Promise<FileTensor[]> {
  const { name, size } = source;
  const damaged = (problem: string) => new RwkvError("weights", `${name}: ${problem}; the file is damaged`);
  if (size < 8) throw new RwkvError("weights", `${name} is cut off: it has only ${size} bytes; download it again`);
  let start = await source.read(0, Math.min(size, FIRST_READ), signal);
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  if (length > size - 8)
    throw new RwkvError(
      "weights",
      `${name} is cut off or damaged: its header should take ${length} bytes, but the file ends at byte ${size}; download it again`,
    );
  if (length > LIMITS.header)
    throw new RwkvError("unsupported", `${name}: its header is longer than ${LIMITS.header} bytes`);
  if (8 + length > start.length) start = await source.read(0, 8 + length, signal);
  const header = parseJson(`${name} (header)`, start.subarray(8, 8 + length));
  if (!isRecord(header)) throw damaged("its header is not a JSON object");

  const entries = Object.entries(header).filter(([key]) => key !== "__metadata__");
  if (entries.length > LIMITS.tensors)
    throw new RwkvError("unsupported", `${name} holds more than ${LIMITS.tensors} tensors`);
  const tensors = entries.map(([key, value]) => tensorOf(source, 8 + length, key, value));
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 8 + length;
  for (const tensor of tensors) {
    if (tensor.offset !== end)
      throw damaged(
        `tensor "${tensor.name}" starts at byte ${tensor.offset}, but the one before it ends at byte ${end}`,
      );
    end += tensor.bytes;
  }
  if (end > size)
    throw new RwkvError(
      "weights",
      `${name} is cut off: tensor "${tensors.at(-1)?.name}" ends at byte ${end}, but the file at byte ${size} (${end - size} bytes are missing); download it again`,
    );
  if (end < size) throw damaged(`its tensors end at byte ${end}, but the file at byte ${size}`);
  return tensors;
}

function tensorOf(source: Source, start: number, name: string, value: unknown): FileTensor {
  const damaged = (problem: string) =>
    new RwkvError("weights", `${source.name}: tensor ${JSON.stringify(name)} ${problem}; the file is damaged`);
  if (name.length > LIMITS.name)
    throw new RwkvError("unsupported", `${source.name}: a tensor's name is longer than ${LIMITS.name} characters`);
  if (!isRecord(value)) throw damaged("is not described by a JSON object");
  const { dtype: type, shape, data_offsets: offsets } = value;
  if (typeof type !== "string") throw damaged("has no dtype");
  if (!isSizes(shape) || shape.length > LIMITS.dims) throw damaged("has impossible sizes");
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) throw damaged("has impossible offsets");
  const [from, to] = offsets;
  const dtype = Object.hasOwn(DTYPES, type) ? DTYPES[type] : type;
  const count = shape.reduce((product, n) => product * n, 1);
  const width = BYTES[dtype];
  if (width !== undefined && count * width !== to - from)
    throw damaged(`(${shape.join(" x ")}, ${type}) takes ${count * width} bytes, but has ${to - from}`);
  return { name, dtype, shape, source, offset: start + from, bytes: to - from };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
