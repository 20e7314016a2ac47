/**
 * A place in the header of a GGUF file, with checked reads from it: numbers, texts, and metadata values. Nothing that
 * the file claims is believed before it was compared with the bytes that the file really has.
 */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { ARRAY_ID, type GgufValue, SCALARS, STRING_ID, scalarOf } from "./gguf-values.ts";

/**
 * Limits far above what models need, so that a damaged or hostile file is refused within a second. A World vocabulary
 * makes a header of 1.5 MB with 65,536 strings.
 */
export const HEADER_LIMITS = { bytes: 32 << 20, strings: 1 << 20 };

/** Thrown when the bytes read so far end before `end`, and the file may well go on. The reader catches it, and reads more. */
export class Short extends Error {
  constructor(readonly end: number) {
    super();
  }
}

/** A place in the header, with checked reads from it. */
export class Header {
  at = 0;
  /** What is being read, for messages. */
  what = "the header";
  private strings = 0;
  private readonly view: DataView;
  private readonly text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(
    private readonly bytes: Uint8Array,
    readonly source: Source,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  damaged(problem: string): RwkvError {
    return new RwkvError("weights", `${this.source.name}: ${problem}; the file is damaged`);
  }

  unsupported(problem: string): RwkvError {
    return new RwkvError("unsupported", `${this.source.name}: ${problem}`);
  }

  /** Makes sure that the file can hold `length` more bytes of header. They need not have been read yet. */
  room(length: number, need = `${this.what} at byte ${this.at} needs ${length} more bytes`): void {
    const { size, name } = this.source;
    const end = this.at + length;
    if (end > size) {
      throw new RwkvError(
        "weights",
        `${name} is cut off or damaged: ${need}, but the file ends at byte ${size} (${end - size} missing); download it again`,
      );
    }
    if (end > HEADER_LIMITS.bytes)
      throw this.unsupported(`its header is longer than ${HEADER_LIMITS.bytes} bytes (at ${this.what})`);
  }

  /** Takes `length` bytes: where they start. */
  private take(length: number): number {
    this.room(length);
    const start = this.at;
    if (start + length > this.bytes.length) throw new Short(start + length);
    this.at = start + length;
    return start;
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** An unsigned 64-bit number that must be an exact JavaScript number. */
  size(): number {
    const start = this.take(8);
    const low = this.view.getUint32(start, true);
    const high = this.view.getUint32(start + 4, true);
    if (high > 0x1fffff) throw this.damaged(`${this.what} at byte ${start} is an impossible size`);
    return high * 2 ** 32 + low;
  }

  /** A count of things that take at least `least` bytes each; `things`: what to call them where they come later. */
  count(least: number, limit: number, things?: string): number {
    const n = this.size();
    if (n > limit && n * least <= this.source.size - this.at)
      throw this.unsupported(`${this.what}: ${n} is more than the ${limit} that this reader takes`);
    this.room(n * least, things && `its ${n} ${things} need at least ${n * least} bytes behind byte ${this.at}`);
    return n;
  }

  string(limit = HEADER_LIMITS.bytes): string {
    if (++this.strings > HEADER_LIMITS.strings)
      throw this.unsupported(`its metadata holds more than ${HEADER_LIMITS.strings} strings`);
    const length = this.count(1, limit);
    const start = this.take(length);
    try {
      return this.text.decode(this.bytes.subarray(start, start + length));
    } catch {
      throw this.damaged(`${this.what}: the text at byte ${start} is not UTF-8`);
    }
  }

  value(): GgufValue {
    const id = this.u32();
    if (id === STRING_ID) return { type: "string", value: this.string() };
    if (id === ARRAY_ID) return this.array();
    const type = scalarOf(id);
    if (!type) throw this.damaged(`${this.what} has the unknown type ${id}`);
    const value = SCALARS[type].get(this.view, this.take(SCALARS[type].bytes));
    if (type === "bool") return { type, value: this.flag(value) };
    return { type, value } as GgufValue;
  }

  private array(): GgufValue {
    const id = this.u32();
    if (id === ARRAY_ID) throw this.unsupported(`${this.what} is an array of arrays, which this reader does not take`);
    if (id === STRING_ID) {
      const length = this.count(8, HEADER_LIMITS.strings);
      // To the end first: what has to be read again, when the bytes end too soon, should not have been made into texts.
      const start = this.at;
      for (let i = 0; i < length; i++) this.take(this.count(1, HEADER_LIMITS.bytes));
      this.at = start;
      const value: string[] = [];
      for (let i = 0; i < length; i++) value.push(this.string());
      return { type: "array", of: "string", value };
    }
    const of = scalarOf(id);
    if (!of) throw this.damaged(`${this.what} is an array of the unknown type ${id}`);
    const { bytes, get, list } = SCALARS[of];
    const length = this.count(bytes, HEADER_LIMITS.bytes);
    const start = this.take(length * bytes);
    const value = list(length);
    for (let i = 0; i < length; i++) {
      value[i] = get(this.view, start + i * bytes);
      if (of === "bool") this.flag(value[i]);
    }
    return { type: "array", of, value } as unknown as GgufValue;
  }

  private flag(value: number | bigint): boolean {
    if (value !== 0 && value !== 1)
      throw this.damaged(`${this.what} holds ${value} where true (1) or false (0) belongs`);
    return value === 1;
  }
}
