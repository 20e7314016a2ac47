/**
 * The same function with weights that are easier to quantise: columns of a matrix that are much larger than others cost all numbers
 * that share a scale with them. RWKV has two exact equivalences by which columns can be made equal:
 *
 * - A channel of a layer norm's weight and bias may be multiplied by c if the columns of all that reads it are divided by c. What lies
 *   in between, token shifts and their mixes, works on every channel by itself.
 * - ReLU squared is homogeneous: row j of the channel mixing's key may be multiplied by a if column j of its value is divided by a².
 *
 * c and a² are the root of the mean square of the columns that read it, relative to the mean over all columns. No data is needed, only
 * one pass over the matrices.
 */
import { Converter, type KernelModule, PIECE_NUMBERS } from "../engine/converter.ts";
import type { Scaling } from "../engine/spec.ts";
import { RwkvError } from "../errors.ts";
import type { TensorFile, TensorInfo } from "../types.ts";
import { bytesOf, DTYPES } from "../weights/dtype.ts";

/** Factors stay within this and its inverse: columns beyond hold next to nothing. */
const MOST = 256;
/** Matrices that read the time mixing's norm: large ones, which decide the factors, and small ones, which only follow. */
const TIME_READERS = ["receptance.weight", "key.weight", "value.weight", "gate.weight"];
const TIME_FOLLOWERS = ["w1", "a1", "g1", "v1", "time_maa_w1", "time_decay_w1"];
const CHANNEL_READERS = ["key.weight", "receptance.weight"];

/** Columns that share a factor, and what it does to whom. */
interface Group {
  /** The matrices whose columns decide. */
  readonly measured: readonly TensorInfo[];
  /** Sets the factors, given how large each column is beside the mean. */
  readonly apply: (ratios: Float64Array) => void;
}

/** What tensors are multiplied by, in their own names; a head that is the embedding goes by `head.weight`. */
export class Equalizer {
  readonly #groups: Group[] = [];
  readonly #scalings = new Map<string, { columns?: Float32Array; rows?: Float32Array }>();

  /** `file`: a complete model. The factors are 1 until `measure` has found them. */
  constructor(file: TensorFile) {
    const { tensors, name } = file;
    const need = (wanted: string): TensorInfo => {
      const tensor = tensors.get(wanted);
      if (!tensor) throw new RwkvError("weights", `${name} lacks the tensor ${wanted}.`);
      return tensor;
    };
    const present = (names: readonly string[]) => names.filter((name) => tensors.has(name));
    for (let i = 0; tensors.has(`blocks.${i}.ln1.weight`); i++) {
      const [att, ffn] = [`blocks.${i}.att.`, `blocks.${i}.ffn.`];
      const inAtt = (names: readonly string[]) => present(names.map((name) => att + name));
      this.#norm(need, `blocks.${i}.ln1`, inAtt(TIME_READERS), inAtt(TIME_FOLLOWERS));
      this.#norm(need, `blocks.${i}.ln2`, present(CHANNEL_READERS.map((part) => ffn + part)), []);
      const rows = this.#factors(`${ffn}key.weight`, "rows", need(`${ffn}key.weight`).shape[0]!);
      const columns = this.#factors(`${ffn}value.weight`, "columns", rows.length);
      this.#groups.push({
        measured: [need(`${ffn}value.weight`)],
        apply: (ratios) => {
          for (let j = 0; j < ratios.length; j++) {
            rows[j] = Math.sqrt(ratios[j]!);
            columns[j] = 1 / (rows[j]! * rows[j]!);
          }
        },
      });
    }
    const head = tensors.has("head.weight") ? "head.weight" : "emb.weight";
    this.#norm((wanted) => need(wanted === "head.weight" ? head : wanted), "ln_out", ["head.weight"], []);
  }

  #norm(
    need: (name: string) => TensorInfo,
    norm: string,
    readers: readonly string[],
    followers: readonly string[],
  ): void {
    const channels = need(`${norm}.weight`).shape[0]!;
    const multiplied = ["weight", "bias"].map((part) => this.#factors(`${norm}.${part}`, "columns", channels));
    const divided = [...readers, ...followers].map((name) => this.#factors(name, "columns", channels));
    this.#groups.push({
      measured: readers.map(need),
      apply: (ratios) => {
        for (let i = 0; i < channels; i++) {
          for (const factors of multiplied) factors[i] = ratios[i]!;
          for (const factors of divided) factors[i] = 1 / multiplied[0]![i]!;
        }
      },
    });
  }

  #factors(name: string, of: "columns" | "rows", count: number): Float32Array {
    const factors = new Float32Array(count).fill(1);
    this.#scalings.set(name, { ...this.#scalings.get(name), [of]: factors });
    return factors;
  }

  /** The factors of a tensor; its arrays are filled by `measure`. */
  scalingOf(name: string): Scaling | undefined {
    return this.#scalings.get(name);
  }

  /** Bytes that `measure` reads. */
  get bytes(): number {
    return this.#groups.flatMap(({ measured }) => measured).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Reads all large matrices once, in the order of the file, and sets the factors. `onRead`: called with the bytes of each piece. */
  async measure(kernels: KernelModule, onRead: (bytes: number) => void, signal?: AbortSignal): Promise<void> {
    const sums = new Map<TensorInfo, Float64Array>();
    const tensors = this.#groups.flatMap(({ measured }) => measured).sort((a, b) => a.offset - b.offset);
    const converter = new Converter(kernels);
    const into = new ArrayBuffer(PIECE_NUMBERS * 4);
    for (const tensor of tensors) sums.set(tensor, await squares(tensor, converter, into, onRead, signal));
    for (const { measured, apply } of this.#groups) apply(ratiosOf(measured.map((tensor) => sums.get(tensor)!)));
  }
}

/** The sum of the squares of each column (of inputs), in float64. `into`: room for a piece. */
async function squares(
  { source, offset, bytes, dtype, shape, transposed }: TensorInfo,
  converter: Converter,
  into: ArrayBuffer,
  onRead: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<Float64Array> {
  const [rows, columns] = shape as [number, number];
  const sums = new Float64Array(columns);
  const piece = bytesOf(dtype, PIECE_NUMBERS)!;
  // Column by column, so many numbers in a row belong to one.
  const repeat = transposed ? rows : 1;
  let [column, step] = [0, 0];
  for (let done = 0; done < bytes; done += piece) {
    const read = await source.read(offset + done, Math.min(piece, bytes - done), signal, into);
    const count = (read.length / DTYPES[dtype].bytes) * DTYPES[dtype].values;
    const { buffer, byteOffset } = converter.convert(read, dtype, "f32", count).bytes;
    const numbers = new Float32Array(buffer, byteOffset, count);
    for (let i = 0; i < count; i++) {
      const x = numbers[i]!;
      sums[column]! += x * x;
      if (++step === repeat) {
        step = 0;
        if (++column === columns) column = 0;
      }
    }
    onRead(read.length);
  }
  return sums;
}

/** How large each column is beside the mean: what is no number, or nothing, counts as average. */
function ratiosOf(sums: readonly Float64Array[]): Float64Array {
  const sizes = new Float64Array(sums[0]!.length);
  for (const each of sums) for (let i = 0; i < sizes.length; i++) sizes[i]! += each[i]!;
  let total = 0;
  for (let i = 0; i < sizes.length; i++) total += sizes[i] = Math.sqrt(sizes[i]!);
  const mean = total / sizes.length;
  return sizes.map((size) =>
    size > 0 && mean < Number.POSITIVE_INFINITY ? Math.min(MOST, Math.max(1 / MOST, size / mean)) : 1,
  );
}
