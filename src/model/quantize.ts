/**
 * Writes a GGUF model anew with its large matrices in another type: smaller files, chiefly. Which tensors are converted, and
 * how q8_0 rounds, is as in llama.cpp's llama-quantize, so that the outcome is what other programs expect. The file goes
 * through in pieces of a few hundred kB, whatever its size.
 */
import { readPieces } from "../bytes/source.ts";
import { Converter, type KernelModule, PIECE_NUMBERS } from "../engine/converter.ts";
import { RwkvError } from "../errors.ts";
import type { DType, Source } from "../types.ts";
import { bytesOf, DTYPES } from "../weights/dtype.ts";
import { type GgufTensor, readGguf } from "../weights/gguf.ts";
import type { GgufValue } from "../weights/gguf-values.ts";
import { type GgufEntry, type Sink, writeGguf } from "../weights/gguf-write.ts";
import { openWeights } from "../weights/open.ts";
import type { LoadProgress } from "./load.ts";

export interface QuantizeOptions {
  /** Called after each piece: bytes of tensor data that were read, and in all. */
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** What `general.file_type` says of a file whose matrices have this type: llama.cpp's `llama_ftype`. */
const FILE_TYPES = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 7, q5_0: 8, q5_1: 9, bf16: 32 } as const satisfies Partial<
  Record<DType, number>
>;
/** The types that a file can be written in. */
export type QuantizeType = keyof typeof FILE_TYPES;
export const QUANTIZE_TYPES = Object.keys(FILE_TYPES) as readonly QuantizeType[];
/** Which layout of quantised blocks a file has: ggml's `GGML_QNT_VERSION`. */
const QUANTIZATION_VERSION = 2;

/** Small matrices that decide much: low-rank maps, token shifts, the bonus. They stay as they are. */
const KEPT = /\.time_mix_(first|[wvag][012]|decay_w[12]|lerp_\w+)\.weight$/;

/**
 * Reads a GGUF file of RWKV and writes it to `sink` with every large matrix, embedding and head included, as `type`. What
 * llama-quantize leaves alone is copied: vectors, norms, token shifts and low-rank maps; so are matrices whose rows are no
 * multiple of the type's block. Metadata is copied, but for the two keys that say how numbers are stored.
 *
 * Closing the source and the sink is up to the caller. If this throws, what the sink got is not a valid file.
 *
 * Errors: those of opening a weights file; `weights` for numbers that are infinite or NaN, or become so because `type` cannot hold them, naming the tensor.
 */
export async function quantizeGguf(
  source: Source,
  sink: Sink,
  type: QuantizeType,
  kernels: KernelModule,
  { onProgress, signal }: QuantizeOptions = {},
): Promise<void> {
  const { container } = await openWeights(source, signal); // its checks too: architecture, names, vocabulary
  if (container !== "gguf") throw new RwkvError("unsupported", `${source.name} is not a GGUF file; convert it first`);
  const { metadata, tensors } = await readGguf(source, signal);
  const converter = new Converter(kernels);
  const total = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  let loaded = 0;
  const entries = tensors.map((tensor): GgufEntry => {
    const from = tensor.dtype;
    const to = isConverted(tensor, type) ? type : from;
    const pieceBytes = bytesOf(from, PIECE_NUMBERS)!;
    return {
      name: tensor.name,
      dims: tensor.dims,
      dtype: to,
      async *data() {
        for await (const piece of readPieces(source, tensor.offset, tensor.bytes, signal, pieceBytes)) {
          const count = (piece.length / DTYPES[from].bytes) * DTYPES[from].values;
          const { bytes, finite } = converter.convert(piece, from, to, count);
          if (!finite.before) throw wrong(source, tensor, "holds an infinity or NaN; the file is damaged");
          if (!finite.after) throw wrong(source, tensor, `holds numbers that are too large for ${to}`);
          yield bytes;
          loaded += piece.length;
          onProgress?.({ loaded, total });
        }
      },
    };
  });
  await writeGguf(sink, describe(metadata, type), entries);
}

function isConverted({ name, dims }: GgufTensor, type: QuantizeType): boolean {
  const matrix = dims.length >= 2 && dims[1] > 1 && dims.slice(2).every((n) => n === 1);
  return matrix && name.endsWith(".weight") && !KEPT.test(name) && dims[0] % DTYPES[type].values === 0;
}

function describe(metadata: ReadonlyMap<string, GgufValue>, type: QuantizeType): Map<string, GgufValue> {
  return new Map([
    ...metadata,
    ["general.quantization_version", { type: "u32", value: QUANTIZATION_VERSION }],
    ["general.file_type", { type: "u32", value: FILE_TYPES[type] }],
  ]);
}

function wrong(source: Source, { name }: GgufTensor, problem: string): RwkvError {
  return new RwkvError("weights", `${source.name}: tensor "${name}" ${problem}`);
}
