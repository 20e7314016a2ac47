// Models that do not fit are refused by what their header says, before any of their numbers is read.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { loadModel } from "../../src/api/load.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import type { Source } from "../../src/types.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import { refused } from "../refused.ts";
import { fixture, gguf, key, tensor } from "../weights/support.ts";
import { bench } from "./setup.ts";

/** The header of an RWKV-7 in f32 of any size, and a file that claims to go on behind it. */
async function large(layers: number, width: number, vocab: number): Promise<{ source: Source; header: number }> {
  const small = await readGguf(bytesSource("v7", fixture("v7.f32.gguf")));
  const sizes = new Map([
    [128, width],
    [256, width * 4],
    [260, vocab],
  ]);
  let offset = 0;
  const entry = (name: string, dims: readonly number[]) => {
    const scaled = dims.map((n) => sizes.get(n) ?? n);
    const at = offset;
    offset += scaled.reduce((a, b) => a * b) * 4;
    return tensor(name, scaled, at);
  };
  const tensors: number[][] = [];
  for (const { name, dims } of small.tensors) {
    if (!name.startsWith("blk.1.")) tensors.push(entry(name, dims));
    else for (let i = 1; i < layers; i++) tensors.push(entry(name.replace("blk.1.", `blk.${i}.`), dims));
  }
  const bytes = gguf({ keys: [key.text("general.architecture", "rwkv7")], tensors });
  const source: Source = {
    name: "large.gguf",
    size: bytes.length + offset,
    async read(at, length) {
      const read = new Uint8Array(length);
      read.set(bytes.subarray(at, at + length));
      furthest = Math.max(furthest, at + length);
      return read;
    },
    async close() {
      closed++;
    },
  };
  return { source, header: bytes.length };
}

let furthest = 0;
let closed = 0;

for (const [weights, needs] of [
  ["f32", /needs 10\.9\d GiB \(10\.7\d GiB of weights\)/],
  ["f16", /needs 5\.9\d GiB \(5\.7\d GiB of weights\)/],
] as const)
  test(`3B as ${weights}: both numbers, before anything but the header is read`, async () => {
    const { source, header } = await large(32, 2560, 65536);
    furthest = closed = 0;
    const { platform, workers } = bench({ open: async () => source });
    await refused(loadModel(platform, "large.gguf", { weights, threads: 2 }), "memory", needs, /4\.00 GiB/, /q8_0/);
    assert.ok(furthest <= Math.max(header, 256 << 10), `${furthest} of ${header} bytes were read`);
    assert.ok(closed > 0, "the source was closed");
    await Promise.all(workers.map((worker) => worker.terminate()));
  });

test("memory that the runtime does not give", async () => {
  const { Memory } = WebAssembly;
  const { platform, workers } = bench();
  try {
    WebAssembly.Memory = class {
      constructor() {
        throw new RangeError("no memory");
      }
    } as unknown as typeof Memory;
    await refused(loadModel(platform, "test/fixtures/v7.f32.gguf", { threads: 2 }), "memory", /gave no memory of/);
    await refused(loadModel(platform, "test/fixtures/v7.f32.gguf", { threads: 0 }), "memory", /gave no memory of/);
  } finally {
    WebAssembly.Memory = Memory;
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
});

test.run();
