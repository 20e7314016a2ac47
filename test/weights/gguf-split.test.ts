import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import type { TensorFile } from "../../src/types.ts";
import { type GgufTensor, readGguf } from "../../src/weights/gguf.ts";
import type { GgufValue } from "../../src/weights/gguf-values.ts";
import { writeGguf } from "../../src/weights/gguf-write.ts";
import { openWeights } from "../../src/weights/open.ts";
import { refused } from "../refused.ts";
import { sameTensors, source } from "./numbers.ts";
import { fixture, joined } from "./support.ts";

const whole = fixture("v7.f32.gguf");
const { metadata, tensors } = await readGguf(bytesSource("v7", whole));
const u16 = (value: number): GgufValue => ({ type: "u16", value });

/** A part as llama-gguf-split writes it: the first has all metadata, each says which it is. */
async function part(no: number, count: number, held: readonly GgufTensor[]): Promise<Uint8Array> {
  const split: [string, GgufValue][] = [
    ["split.no", u16(no)],
    ["split.count", u16(count)],
    ["split.tensors.count", { type: "i32", value: tensors.length }],
  ];
  const pieces: Uint8Array[] = [];
  await writeGguf(
    { write: async (bytes) => void pieces.push(bytes.slice()) },
    new Map([...(no === 0 ? metadata : []), ...split]),
    held.map(({ name, dtype, dims, offset, bytes }) => ({
      name,
      dtype,
      dims,
      data: () => [whole.subarray(offset, offset + bytes)],
    })),
  );
  return joined(...pieces);
}

const called = (i: number) => `some-0000${i}-of-00003.gguf`;
const parts = {
  [called(1)]: await part(0, 3, tensors.slice(0, 20)),
  [called(2)]: await part(1, 3, tensors.slice(20, 30)),
  [called(3)]: await part(2, 3, tensors.slice(30)),
};

const open = (name: string, files: Record<string, Uint8Array>): Promise<TensorFile> =>
  openWeights(source(name, files[name], files));

test("a split model opens from any of its parts", async () => {
  for (const name of Object.keys(parts)) {
    const file = await open(name, parts);
    assert.is(file.name, name);
    await sameTensors(file, "7");
    assert.is(file.architecture, "rwkv7");
    assert.is(file.vocabulary?.tokens.length, 260);
    assert.is(file.facts.get("head_size"), 64);
    assert.equal(new Set([...file.tensors.values()].map((tensor) => tensor.source.name)), new Set(Object.keys(parts)));
  }
});

test("a first part without tensors", async () => {
  const files = { ...parts, [called(1)]: await part(0, 3, []), [called(2)]: await part(1, 3, tensors.slice(0, 30)) };
  await sameTensors(await open(called(1), files), "7");
});

test("one part of one is a whole", async () => {
  await sameTensors(await open("some.gguf", { "some.gguf": await part(0, 1, tensors) }), "7");
});

test("parts that are missing, in disorder, or not called as they should be", async () => {
  const without = (name: string) => Object.fromEntries(Object.entries(parts).filter(([key]) => key !== name));
  await refused(
    open(called(1), without(called(3))),
    "weights",
    /^some-00001-.*"some-00003-of-00003\.gguf" .*is missing/,
  );
  await refused(
    openWeights(bytesSource(called(1), parts[called(1)])),
    "unsupported",
    /"some-00002-of-00003\.gguf" cannot be found from here/,
  );
  const swapped = { ...parts, [called(2)]: parts[called(3)] };
  await refused(
    open(called(1), swapped),
    "weights",
    /"some-00002-of-00003\.gguf" says that it is part 3 of 3, not 2 of 3/,
  );
  const twice = { ...parts, [called(2)]: await part(1, 3, tensors.slice(0, 1)) };
  await refused(open(called(1), twice), "weights", /two of its parts hold a tensor/);
  await refused(
    open("model.gguf", { ...parts, "model.gguf": parts[called(1)] }),
    "weights",
    /^model\.gguf: it is part 1 of 3, but is not called so/,
  );
  const many = { [called(1)]: await part(0, 4, []) };
  await refused(open(called(1), many), "weights", /part 1 of 4, but is not called so/);
  await refused(open("a.gguf", { "a.gguf": await part(3, 3, []) }), "weights", /^a\.gguf says that it is part 4 of 3/);
  const other = { ...parts, [called(2)]: whole };
  await refused(open(called(1), other), "weights", /says that it is part 1 of 1/);
});

test.run();
