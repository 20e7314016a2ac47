/** Small writers of the containers, which know nothing of the code under test, so that they can also lie. */
import { joined, u32, u64 } from "./bytes.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A tensor to write: numbers as they shall lie in the file. */
export interface Entry {
  name: string;
  /** Slowest first. */
  shape: number[];
  /** The format's own name, or number, of the type. */
  type: string | number;
  data: Uint8Array;
}

export const f32Bytes = (values: ArrayLike<number>): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** A safetensors file. `more`: what else the header says. */
export function safetensors(entries: Entry[], more: Record<string, unknown> = {}): Uint8Array {
  let end = 0;
  const header: Record<string, unknown> = {};
  for (const { name, shape, type, data } of entries) {
    header[name] = { dtype: type, shape, data_offsets: [end, end + data.length] };
    end += data.length;
  }
  return safetensorsOf(JSON.stringify({ ...header, ...more }), ...entries.map(({ data }) => data));
}

/** A safetensors file with this text as its header. */
export function safetensorsOf(header: string, ...data: Uint8Array[]): Uint8Array {
  const bytes = utf8(header);
  return joined(Uint8Array.from(u64(bytes.length)), bytes, ...data);
}

/** An rwkv.cpp file. */
export function ggmf(entries: Entry[], version = 101, sizes = [260, 128, 2, 0]): Uint8Array {
  const parts = entries.map(({ name, shape, type, data }) => {
    const key = utf8(name);
    const numbers = [shape.length, key.length, Number(type), ...shape.toReversed()];
    return joined(Uint8Array.from(numbers.flatMap(u32)), key, data);
  });
  return joined(Uint8Array.from([0x67676d66, version, ...sizes].flatMap(u32)), ...parts);
}

interface ZipOptions {
  /** 0: stored. Data is never compressed, whatever is claimed. */
  method?: number;
  /** Sizes and places as archives of more than 4 GiB have them. */
  zip64?: boolean;
}

/** A zip archive. */
export function zip(files: Record<string, Uint8Array>, { method = 0, zip64 = false }: ZipOptions = {}): Uint8Array {
  const u16 = (n: number) => [n & 255, n >> 8];
  const elsewhere = u32(0xffffffff);
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const [name, data] of Object.entries(files)) {
    const key = utf8(name);
    const size = zip64 ? elsewhere : u32(data.length);
    const sizes = [...u64(data.length), ...u64(data.length)];
    const facts = [...u16(45), ...u16(0), ...u16(method), ...u32(0), ...u32(crc32(data)), ...size, ...size];
    const common = [...facts, ...u16(key.length)];
    const localExtra = zip64 ? [...u16(1), ...u16(16), ...sizes] : [];
    const extra = zip64 ? [...u16(1), ...u16(24), ...sizes, ...u64(at)] : [];
    const local = [0x50, 0x4b, 3, 4, ...common, ...u16(localExtra.length), ...key, ...localExtra];
    const rest = [...u16(extra.length), ...u16(0), ...u16(0), ...u16(0), ...u32(0), ...(zip64 ? elsewhere : u32(at))];
    directory.push(Uint8Array.from([0x50, 0x4b, 1, 2, ...u16(45), ...common, ...rest, ...key, ...extra]));
    parts.push(Uint8Array.from(local), data);
    at += local.length + data.length;
  }
  const length = directory.reduce((sum, { length }) => sum + length, 0);
  const count = directory.length;
  const end64 = [0x50, 0x4b, 6, 6, ...u64(44), ...u16(45), ...u16(45), ...u32(0), ...u32(0)];
  const places64 = [...u64(count), ...u64(count), ...u64(length), ...u64(at)];
  const locator = [0x50, 0x4b, 6, 7, ...u32(0), ...u64(at + length), ...u32(1)];
  const end = [0x50, 0x4b, 5, 6, ...u32(0)];
  const places = [...u16(count), ...u16(count), ...u32(length), ...u32(at), 0, 0];
  const last = zip64 ? [...end64, ...places64, ...locator, ...end, ...Array(12).fill(255), 0, 0] : [...end, ...places];
  return joined(...parts, ...directory, Uint8Array.from(last));
}

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** Python values as pickles have them, in instructions of protocol 2. */
export const py = {
  none: [0x4e],
  no: [0x89],
  yes: [0x88],
  int: (n: number) => [0x4a, ...u32(n)],
  text: (s: string) => [0x58, ...u32(utf8(s).length), ...utf8(s)],
  global: (module: string, name: string) => [0x63, ...utf8(`${module}\n${name}\n`)],
  tuple: (...items: number[][]) => [0x28, ...items.flat(), 0x74],
  list: (...items: number[][]) => [0x5d, 0x28, ...items.flat(), 0x65],
  dict: (...items: [key: number[], value: number[]][]) => [0x7d, 0x28, ...items.flat(2), 0x75],
  call: (callee: number[], ...args: number[][]) => [...callee, ...py.tuple(...args), 0x52],
  persistent: (id: number[]) => [...id, 0x51],
  /** An object, then its attributes. */
  build: (object: number[], state: number[]) => [...object, ...state, 0x62],
  pickle: (value: number[]) => Uint8Array.from([0x80, 2, ...value, 0x2e]),
};

export interface View {
  storage: string;
  length: number;
  /** `Float`, `Half`, `BFloat16`, ... */
  type?: string;
  offset?: number;
  sizes: number[];
  strides?: number[];
}

/** A tensor as torch.save pickles it. */
export function torchTensor({ storage, length, type = "Float", offset = 0, sizes, strides }: View): number[] {
  const steps = strides ?? sizes.map((_, d) => sizes.slice(d + 1).reduce((a, b) => a * b, 1));
  const id = py.tuple(
    py.text("storage"),
    py.global("torch", `${type}Storage`),
    py.text(storage),
    py.text("cpu"),
    py.int(length),
  );
  return py.call(
    py.global("torch._utils", "_rebuild_tensor_v2"),
    py.persistent(id),
    py.int(offset),
    py.tuple(...sizes.map(py.int)),
    py.tuple(...steps.map(py.int)),
    py.no,
    py.call(py.global("collections", "OrderedDict")),
  );
}

/** A `.pth` of torch.save in its zip form, of such values and storages. */
export function pth(
  root: number[],
  storages: Record<string, Uint8Array>,
  more: Record<string, Uint8Array> = {},
  options?: ZipOptions,
): Uint8Array {
  const files = {
    "model/data.pkl": py.pickle(root),
    "model/byteorder": utf8("little"),
    ...Object.fromEntries(Object.entries(storages).map(([key, data]) => [`model/data/${key}`, data])),
    "model/version": utf8("3\n"),
    ...more,
  };
  return zip(files, options);
}

/** The older form. Every storage has numbers of `width` bytes. */
export function legacyPth(
  root: number[],
  storages: Record<string, Uint8Array>,
  width = 4,
  little = py.yes,
): Uint8Array {
  const magic = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
  // Integer-like keys would be listed in numerical order whatever was written: a Map would not, and Python does not.
  const keys = Object.keys(storages);
  return joined(
    Uint8Array.from([...magic, 0x80, 2, 0x4d, 0xe9, 3, 0x2e]),
    py.pickle(py.dict([py.text("protocol_version"), py.int(1001)], [py.text("little_endian"), little])),
    py.pickle(root),
    py.pickle(py.list(...keys.map(py.text))),
    ...keys.flatMap((key) => [Uint8Array.from(u64(storages[key].length / width)), storages[key]]),
  );
}
