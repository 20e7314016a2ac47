/** What the weights tests share: fixtures, and a GGUF builder that knows nothing of the code under test, so that it can also lie. */
import { readFileSync } from "node:fs";
import type { Source } from "../../src/types.ts";
import { text, u32, u64 } from "./bytes.ts";

export { joined, text, u32, u64 } from "./bytes.ts";

/** A file of test/fixtures. */
export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(`test/fixtures/${name}`));
}

/** Metadata entries: the key, then the type's number and the value as bytes. */
export const key = {
  text: (name: string, value: string) => [...text(name), ...u32(8), ...text(value)],
  u32: (name: string, value: number) => [...text(name), ...u32(4), ...u32(value)],
  texts: (name: string, values: string[]) => [
    ...text(name),
    ...u32(9),
    ...u32(8),
    ...u64(values.length),
    ...values.flatMap(text),
  ],
  i32s: (name: string, values: number[]) => [
    ...text(name),
    ...u32(9),
    ...u32(5),
    ...u64(values.length),
    ...values.flatMap(u32),
  ],
};

/** A tensor's description. Type 0 is f32. */
export const tensor = (name: string, dims: (number | bigint)[], offset: number | bigint, type = 0): number[] => [
  ...text(name),
  ...u32(dims.length),
  ...dims.flatMap(u64),
  ...u32(type),
  ...u64(offset),
];

interface Parts {
  version?: number;
  keys?: number[][];
  tensors?: number[][];
  /** Bytes of data, filled with their index. */
  data?: number;
  alignment?: number;
  /** What the file claims, if not the truth. */
  keyCount?: number | bigint;
  tensorCount?: number | bigint;
}

/** A GGUF file made of such parts. */
export function gguf(parts: Parts): Uint8Array {
  const { version = 3, keys = [], tensors = [], data = 0, alignment = 32 } = parts;
  const header = [
    ...[71, 71, 85, 70],
    ...u32(version),
    ...u64(parts.tensorCount ?? tensors.length),
    ...u64(parts.keyCount ?? keys.length),
    ...keys.flat(),
    ...tensors.flat(),
  ];
  const start = Math.ceil(header.length / alignment) * alignment;
  const bytes = new Uint8Array(start + data);
  bytes.set(header);
  for (let i = 0; i < data; i++) bytes[start + i] = i & 255;
  return bytes;
}

/** Counts the bytes that are read from a source. */
export function counted(source: Source): Source & { bytesRead: number } {
  return {
    ...source,
    bytesRead: 0,
    async read(offset, length, signal) {
      this.bytesRead += length;
      return await source.read(offset, length, signal);
    },
  };
}
