/**
 * Memory for one test: regions handed out one after another, each between two guard zones of random bytes. A kernel that
 * writes a byte outside the regions it was given, or into one of its inputs, is found by `check`.
 */

const ALIGN = 64;
const GUARD = 64;

/** What guards and fresh regions hold: a byte that depends on nothing but its address. */
const NOISE = (() => {
  const bytes = new Uint8Array(8192);
  let seed = 0x9e3779b9;
  for (let i = 0; i < 4096; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    bytes[i] = bytes[i + 4096] = seed >>> 24;
  }
  return bytes;
})();

/** `length` (up to 4096) bytes of noise for an address. */
const noise = (at: number, length: number) => NOISE.subarray(at % 4096, (at % 4096) + length);

const differ = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) !== 0;

/** Some bytes of linear memory. The views all show the same bytes, as whole numbers of their kind. */
export class Region {
  /** The address; above 2 GiB WebAssembly sees it as a negative i32. */
  readonly at: number;
  readonly u8: Uint8Array;
  readonly i8: Int8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;

  constructor(memory: WebAssembly.Memory, at: number, length: number) {
    const { buffer } = memory;
    this.at = at;
    this.u8 = new Uint8Array(buffer, at, length);
    this.i8 = new Int8Array(buffer, at, length);
    this.u16 = new Uint16Array(buffer, at, length >> 1);
    this.i16 = new Int16Array(buffer, at, length >> 1);
    this.u32 = new Uint32Array(buffer, at, length >> 2);
    this.i32 = new Int32Array(buffer, at, length >> 2);
    this.f32 = new Float32Array(buffer, at, length >> 2);
    this.f64 = new Float64Array(buffer, at, length >> 3);
  }
}

export class Arena {
  readonly memory: WebAssembly.Memory;
  #base: number;
  #next: number;
  #guards: Uint8Array[] = [];
  #inputs: { region: Region; copy: Uint8Array }[] = [];

  /** Hands out the memory from `base` to its end. */
  constructor(memory: WebAssembly.Memory, base: number) {
    this.memory = memory;
    this.#base = base;
    this.#next = base;
  }

  /** Forgets all regions. */
  reset(): void {
    this.#next = this.#base;
    this.#guards = [];
    this.#inputs = [];
  }

  /** `length` bytes to be written by kernels, at a multiple of 64. They hold noise, so that nobody relies on zeros. */
  output(length: number): Region {
    const at = Math.ceil((this.#next + GUARD) / ALIGN) * ALIGN;
    const after = at + length;
    const end = Math.ceil((after + GUARD) / ALIGN) * ALIGN;
    if (end > this.memory.buffer.byteLength)
      throw new Error(`The test needs more memory than ${end - this.#base} bytes.`);
    const region = new Region(this.memory, at, length);
    for (let i = 0; i < length; i += 4096) region.u8.set(noise(at + i, Math.min(4096, length - i)), i);
    for (const [from, to] of [
      [at - GUARD, at],
      [after, end],
    ]) {
      const guard = new Uint8Array(this.memory.buffer, from, to - from);
      guard.set(noise(from, to - from));
      this.#guards.push(guard);
    }
    this.#next = end;
    return region;
  }

  /** A region of `length` bytes that kernels both read and write, zeros at first. */
  zeros(length: number): Region {
    const region = this.output(length);
    region.u8.fill(0);
    return region;
  }

  /** A region that starts with the numbers given and that kernels both read and write. */
  copy(values: ArrayBufferView): Region {
    const region = this.output(values.byteLength);
    region.u8.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return region;
  }

  /** A region with the numbers given, that no kernel may change. */
  input(values: ArrayBufferView): Region {
    const region = this.copy(values);
    this.#inputs.push({ region, copy: region.u8.slice() });
    return region;
  }

  /** Throws if a guard zone or an input changed. `call` names the suspect. */
  check(call: string): void {
    for (const guard of this.#guards) {
      if (!differ(guard, noise(guard.byteOffset, guard.length))) continue;
      throw new Error(
        `${call} wrote outside its regions, between ${guard.byteOffset} and ${guard.byteOffset + guard.length}`,
      );
    }
    for (const { region, copy } of this.#inputs) {
      if (differ(region.u8, copy)) throw new Error(`${call} wrote into its input at ${region.at}`);
    }
  }
}
