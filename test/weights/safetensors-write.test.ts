import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { readSafetensors } from "../../src/weights/safetensors.ts";
import { SAFETENSORS_TYPES, type SafetensorsEntry, writeSafetensors } from "../../src/weights/safetensors-write.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { joined } from "./support.ts";

async function written(entries: SafetensorsEntry[], metadata: Record<string, string> = {}): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  await writeSafetensors({ write: async (bytes) => void parts.push(bytes.slice()) }, metadata, entries);
  return joined(...parts);
}

const tensors = fc.array(
  fc.record({
    dtype: fc.constantFrom(...SAFETENSORS_TYPES),
    shape: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }),
    name: fc.oneof(fc.string(), fc.constantFrom("1", "__proto__", "constructor", 'a"b\\')),
  }),
  { maxLength: 8 },
);

test("whatever is written is read back, every number at a multiple of its size", async () => {
  await fc.assert(
    fc.asyncProperty(tensors, fc.dictionary(fc.string(), fc.string()), async (wanted, metadata) => {
      const unique = [
        ...new Map(wanted.filter(({ name }) => name !== "__metadata__").map((one) => [one.name, one])).values(),
      ];
      const data = (i: number) => {
        const { dtype, shape } = unique[i]!;
        const length = shape.reduce((a, b) => a * b, dtype === "f32" ? 4 : 2);
        return Uint8Array.from({ length }, (_, at) => at * 7 + i);
      };
      const bytes = await written(
        unique.map((one, i) => ({ ...one, data: () => [data(i).subarray(0, 1), data(i).subarray(1)] })),
        metadata,
      );
      const source = bytesSource("written", bytes);
      const back = new Map((await readSafetensors(source)).map((tensor) => [tensor.name, tensor]));
      assert.is(back.size, unique.length);
      for (const [i, { name, dtype, shape }] of unique.entries()) {
        const found = back.get(name)!;
        assert.equal([found.dtype, found.shape], [dtype, shape]);
        assert.is(found.offset % (dtype === "f32" ? 4 : 2), 0);
        assert.equal(await source.read(found.offset, found.bytes), data(i));
      }
      const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      assert.is(length % 8, 0);
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
      assert.equal(Object.entries(header.__metadata__), Object.entries(JSON.parse(JSON.stringify(metadata))));
    }),
    { numRuns: runs(150) },
  );
});

test("refuses what would not be a sound file", async () => {
  const entry = (more: Partial<SafetensorsEntry>): SafetensorsEntry => ({
    name: "t",
    dtype: "f32",
    shape: [2],
    data: () => [new Uint8Array(8)],
    ...more,
  });
  await refused(written([entry({}), entry({})]), "input", /"t" is given twice/);
  await refused(written([entry({ name: "__metadata__" })]), "input", /is given twice/);
  await refused(written([entry({ data: () => [new Uint8Array(7)] })]), "input", /"t" takes 8 bytes, but 7/);
  for (const shape of [[0], [-1, -1], [1.5], [2 ** 52]])
    await refused(written([entry({ shape })]), "input", /"t" of sizes/);
});

test.run();
