/**
 * A tensor's numbers on their way from one file into another: turned, freed from what a converter did to them, and in another
 * type. They go through in pieces of at most a MB; only a matrix that is turned is gathered in bands of up to 16 MiB.
 */
import { readPieces } from "../bytes/source.ts";
import { type Converter, PIECE_NUMBERS } from "../engine/converter.ts";
import type { Scaling } from "../engine/spec.ts";
import { RwkvError } from "../errors.ts";
import type { DType, TensorInfo } from "../types.ts";
import { bytesOf, DTYPES } from "../weights/dtype.ts";

/** A tensor of one file that becomes a tensor of another, or a part of one. */
export interface Part {
  readonly tensor: TensorInfo;
  /** Rows and columns of the matrix, or of each of several, change places. */
  readonly turned?: boolean;
  /** A power of two that the numbers are multiplied by. */
  readonly factor?: number;
  /** What its numbers are multiplied by, in the order of the new file. What keeps its type is rounded to it. */
  readonly scaling?: Scaling;
  /** Scales of q4_0 and q5_0 are searched for, not those of GGML. */
  readonly searched?: boolean;
}

/** A tensor of the new file. */
export interface Output {
  readonly name: string;
  /** Slowest first. */
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** What it is made of, one after another. */
  readonly parts: readonly Part[];
}

/** What the pieces of a conversion share. */
export interface Way {
  readonly converter: Converter;
  /** Called with the bytes of each piece that was read. */
  readonly onRead: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Most numbers of a matrix that are gathered at a time in order to turn it. */
const BAND = 1 << 22;

/** Whether the numbers change, and not just their type. */
const changes = ({ tensor, turned, scaling, factor = 1 }: Part): boolean =>
  !!turned || !!tensor.form || !!scaling || factor !== 1;

/** The types in which a part's numbers lose nothing: its own, or f32 where they change or come in blocks that are turned. */
export function exactType(part: Part): DType {
  const { tensor, turned, scaling, factor = 1 } = part;
  return tensor.form || factor !== 1 || ((turned || scaling) && !isFloat(tensor)) ? "f32" : tensor.dtype;
}

const isFloat = ({ dtype }: TensorInfo): boolean => DTYPES[dtype].values === 1;

/**
 * The part's numbers as `to`, in pieces that are good until the next one is asked for.
 *
 * Errors: `weights` for numbers that are infinite or NaN, or become so because `to` cannot hold them, naming the tensor.
 */
export async function* piecesOf(part: Part, to: DType, way: Way): AsyncGenerator<Uint8Array> {
  const { tensor } = part;
  const { converter } = way;
  if (!changes(part)) {
    for await (const { bytes, count } of stored(tensor, tensor.offset, tensor.bytes, way))
      yield checked(tensor, to, converter.convert(bytes, tensor.dtype, to, count, part.searched));
    return;
  }
  let at = 0;
  for await (const x of part.turned ? turnedNumbers(tensor, way) : numbers(tensor, tensor.offset, tensor.bytes, way)) {
    if (tensor.form) undo(tensor, x, converter);
    if (part.factor !== undefined) for (let i = 0; i < x.length; i++) x[i] *= part.factor;
    if (part.scaling) scale(x, at, part.scaling, tensor.shape.at(-1)!);
    at += x.length;
    const { buffer, byteOffset, byteLength } = x;
    let bytes: Uint8Array = new Uint8Array(buffer, byteOffset, byteLength);
    let from: DType = "f32";
    if (part.scaling && !part.searched && isFloat(tensor)) {
      from = tensor.dtype;
      bytes = checked(tensor, from, converter.convert(bytes, "f32", from, x.length), true).slice();
    }
    yield checked(tensor, to, converter.convert(bytes, from, to, x.length, part.searched), true);
  }
}

/** Multiplies numbers of a tensor with so many columns, from the one with the index `first` on. Each product is rounded to f32. */
function scale(x: Float32Array, first: number, { columns: byColumns, rows: byRows }: Scaling, columns: number): void {
  let column = first % columns;
  let row = Math.floor(first / columns);
  for (let i = 0; i < x.length; i++) {
    if (byColumns) x[i] *= byColumns[column];
    if (byRows) x[i] *= byRows[row];
    if (++column === columns) {
      column = 0;
      row++;
    }
  }
}

/** The stored bytes of a range of whole blocks, with how many numbers they hold. */
async function* stored({ source, dtype }: TensorInfo, offset: number, length: number, { signal, onRead }: Way) {
  for await (const bytes of readPieces(source, offset, length, signal, bytesOf(dtype, PIECE_NUMBERS))) {
    yield { bytes, count: (bytes.length / DTYPES[dtype].bytes) * DTYPES[dtype].values };
    onRead(bytes.length);
  }
}

/** The numbers of a range of whole blocks, to be changed at will. They lie in the converter, and are gone when it converts others. */
async function* numbers(
  tensor: TensorInfo,
  offset: number,
  length: number,
  way: Way,
): AsyncGenerator<Float32Array<ArrayBuffer>> {
  for await (const { bytes, count } of stored(tensor, offset, length, way)) {
    const found = checked(tensor, "f32", way.converter.convert(bytes, tensor.dtype, "f32", count));
    yield new Float32Array(found.buffer as ArrayBuffer, found.byteOffset, count);
  }
}

/** The numbers of a matrix, or of each of several, column by column. */
async function* turnedNumbers(tensor: TensorInfo, way: Way): AsyncGenerator<Float32Array> {
  const { dtype, shape, transposed, offset, bytes } = tensor;
  const [rows, columns] = transposed ? [shape.at(-1)!, shape.at(-2)!] : [shape.at(-2)!, shape.at(-1)!];
  const { values } = DTYPES[dtype];
  const matrixBytes = bytesOf(dtype, rows * columns)!;
  const width = Math.min(columns, Math.max(1, Math.floor(BAND / rows / values)) * values);
  for (let start = offset; start < offset + bytes; start += matrixBytes) {
    for (let first = 0; first < columns; first += width) {
      const count = Math.min(width, columns - first);
      const band = new Float32Array(count * rows);
      // Whole rows lie one after another: they are read at once.
      const [reads, length] = count === columns ? [1, matrixBytes] : [rows, bytesOf(dtype, count)!];
      for (let r = 0, at = 0; r < reads; r++) {
        for await (const x of numbers(tensor, start + bytesOf(dtype, r * columns + first)!, length, way)) {
          for (let i = 0; i < x.length; i++, at++) band[(at % count) * rows + Math.floor(at / count)] = x[i];
        }
      }
      for (let at = 0; at < band.length; at += PIECE_NUMBERS) yield band.subarray(at, at + PIECE_NUMBERS);
    }
  }
}

/** Official numbers from what a converter made of them: the inverse of the tensor's form, to within rounding. */
function undo(tensor: TensorInfo, x: Float32Array, converter: Converter): void {
  const wrong = (value: number) =>
    new RwkvError("weights", `${where(tensor)} holds ${value}, which no ${tensor.form} is; the file is damaged`);
  // The logarithm is defined for normal numbers; a smaller one is as good as 2^-126.
  const log = (least = 2 ** -126) => {
    for (let i = 0; i < x.length; i++) x[i] = Math.max(x[i], least);
    converter.log(x);
  };
  if (tensor.form === "exp(-exp(x))") {
    const beyond = x.find((value) => !(value >= 0 && value <= 1));
    if (beyond !== undefined) throw wrong(beyond);
    log();
    for (let i = 0; i < x.length; i++) x[i] = -x[i];
    // Where the form was rounded to 1, any x does that is small enough for it.
    log(2 ** -26);
  } else {
    const sign = tensor.form === "-exp(x)" ? -1 : 1;
    const beyond = x.find((value) => value * sign < 0);
    if (beyond !== undefined) throw wrong(beyond);
    for (let i = 0; i < x.length; i++) x[i] *= sign;
    log();
  }
}

type Converted = ReturnType<Converter["convert"]>;

function checked(tensor: TensorInfo, to: DType, { bytes, finite }: Converted, changed = false): Uint8Array {
  if (!finite.before && !changed)
    throw new RwkvError("weights", `${where(tensor)} holds an infinity or NaN; the file is damaged`);
  if (!finite.before || !finite.after)
    throw new RwkvError("weights", `${where(tensor)} holds numbers that are too large for ${to}`);
  return bytes;
}

const where = ({ source, fileName }: TensorInfo): string => `${source.name}: tensor "${fileName}"`;
