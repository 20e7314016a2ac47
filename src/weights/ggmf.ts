/**
 * rwkv.cpp's `.bin` files ("ggmf", versions 100 and 101): a short header, then tensor after tensor to the end of the file,
 * each with its description before its data, so the reader goes from one to the next.
 * (github.com/RWKV/rwkv.cpp, docs/FILE_FORMAT.md; what its converter does to numbers: python/convert_pytorch_to_ggml.py)
 */
import { RwkvError } from "../errors.ts";
import type { DType, Source, TensorFile } from "../types.ts";
import { bytesOf, DTYPES } from "./dtype.ts";
import { type FileTensor, nameTensors } from "./names.ts";
import { ggmfNaming } from "./names-official.ts";

/** "ggmf" as a number. */
const MAGIC = 0x67676d66;
/** Since this version, quantised blocks are those of GGUF. */
const NEW_BLOCKS = 101;
const HEADER = 24;

const LIMITS = { tensors: 1 << 16, name: 256 };

/** The longest description of a tensor: three numbers, three sizes, the name. */
const LONGEST = 12 + 12 + LIMITS.name;
/** Bytes read at a time: with the description, the data of many a small tensor and what follows it. */
const PIECE = 64 << 10;

/* biome-ignore format: a table */
const TYPES: readonly (DType | "q4_1_o" | "q4_2" | "q4_3")[] = [
  "f32", "f16", "q4_0", "q4_1", "q4_1_o", "q4_2", "q4_3", "q5_0", "q5_1", "q8_0",
];

/**
 * Opens a source that holds ggmf.
 *
 * Errors: `weights`, naming file and byte, when it is damaged or cut off; `unsupported` for other versions and for number
 * formats that rwkv.cpp itself no longer reads.
 */
export async function openGgmf(source: Source, signal?: AbortSignal): Promise<TensorFile> {
  const { name } = source;
  const { found, layers, width } = await readGgmf(source, signal);
  const { naming, version } = ggmfNaming(found.map((tensor) => tensor.name));
  const { tensors, unknown } = nameTensors(name, found, naming);
  const facts = new Map<string, number>([
    ["block_count", layers],
    ["embedding_length", width],
  ]);
  // rwkv.cpp leaves out the division by 8 before this norm, and with it means another epsilon than official checkpoints.
  if (version === 5) facts.set("ln_x_epsilon", 1e-5);
  return { name, container: "ggmf", tensors, unknown, facts, close: () => source.close() };
}

async function readGgmf(source: Source, signal?: AbortSignal) {
  const { name, size } = source;
  if (size < HEADER) throw cutOff(source, "the header", HEADER);
  const header = await source.read(0, HEADER, signal);
  const [magic, version, , width, layers] = numbersIn(header, HEADER / 4);
  if (magic !== MAGIC) throw new RwkvError("weights", `${name}: it does not start with "ggmf"; the file is damaged`);
  if (version !== 100 && version !== NEW_BLOCKS)
    throw new RwkvError("unsupported", `${name} is a ggmf file of version ${version}; this reader takes 100 and 101`);

  const found: FileTensor[] = [];
  let piece = new Uint8Array(0);
  let start = 0;
  for (let at = HEADER; at < size; ) {
    if (found.length === LIMITS.tensors)
      throw new RwkvError("unsupported", `${name} holds more than ${LIMITS.tensors} tensors`);
    if (Math.min(at + LONGEST, size) > start + piece.length) {
      start = at;
      piece = await source.read(at, Math.min(PIECE, size - at), signal);
    }
    const tensor = tensorAt(source, at, piece.subarray(at - start), version);
    found.push(tensor);
    at = tensor.offset + tensor.bytes;
  }
  return { found, layers, width };
}

/** The tensor whose description starts at byte `at`, with `bytes`: as long as a description can be, or as the file goes on. */
function tensorAt(source: Source, at: number, bytes: Uint8Array, version: number): FileTensor {
  const { name: file, size } = source;
  const here = `the tensor at byte ${at}`;
  const damaged = (problem: string) => new RwkvError("weights", `${file}: ${here} ${problem}; the file is damaged`);
  if (bytes.length < 12) throw cutOff(source, here, at + 12);
  const [rank, length, id] = numbersIn(bytes, 3);
  if (rank < 1 || rank > 3) throw damaged(`has ${rank} dimensions; 1 to 3 are possible`);
  if (length < 1 || length > LIMITS.name) throw damaged(`has a name of ${length} bytes`);
  const described = 12 + 4 * rank + length;
  if (bytes.length < described) throw cutOff(source, here, at + described);
  const dims = numbersIn(bytes.subarray(12), rank);
  const name = textIn(bytes.subarray(described - length, described));
  if (name === undefined) throw damaged("has a name that is not UTF-8");
  const dtype = typeOf(source, name, id, version);
  const count = dims.reduce((product, n) => product * n, 1);
  const taken = dims[0] % DTYPES[dtype].values === 0 ? bytesOf(dtype, count) : undefined;
  if (!taken) throw damaged(`("${name}") has the impossible sizes ${dims.join(" x ")} (${dtype})`);
  const offset = at + described;
  if (taken > size - offset) throw cutOff(source, `tensor "${name}" at byte ${at}`, offset + taken);
  return { name, dtype, shape: dims.reverse(), source, offset, bytes: taken };
}

function cutOff({ name, size }: Source, what: string, end: number): RwkvError {
  return new RwkvError(
    "weights",
    `${name} is cut off or damaged: ${what} would end at byte ${end}, but the file ends at byte ${size}; download it again`,
  );
}

function typeOf({ name }: Source, tensor: string, id: number, version: number): DType {
  const type = TYPES[id];
  if (type === undefined || type === "q4_1_o" || type === "q4_2" || type === "q4_3")
    throw new RwkvError(
      "unsupported",
      `${name}: tensor "${tensor}" is stored as ${type ?? `type ${id}`}, which ${type ? "rwkv.cpp has removed" : "is not known"}; convert the original again`,
    );
  if (version < NEW_BLOCKS && DTYPES[type].values > 1)
    throw new RwkvError(
      "unsupported",
      `${name}: tensor "${tensor}" is ${type} as rwkv.cpp stored it before version 101; quantise the original again`,
    );
  return type;
}

function textIn(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** The first `count` 32-bit numbers. */
function numbersIn(bytes: Uint8Array, count: number): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true));
}
