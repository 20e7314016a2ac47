/** Damaged GGUF files: the outcome is an error that names the file, or a sound `TensorFile`; never anything else. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { RwkvError } from "../../src/errors.ts";
import { bytesOf } from "../../src/weights/dtype.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import { openWeights } from "../../src/weights/open.ts";
import { runs } from "../runs.ts";
import { fixture, joined } from "./support.ts";

const whole = fixture("v7.q8_0.gguf");
const headerBytes = (await readGguf(bytesSource("v7", whole))).tensors[0].offset;

/** Opens it; false if it was refused properly. Anything unsound throws. */
async function opens(bytes: Uint8Array): Promise<boolean> {
  try {
    const file = await openWeights(bytesSource("fuzzed.gguf", bytes));
    for (const [name, tensor] of file.tensors) {
      assert.is(tensor.name, name);
      assert.ok(tensor.offset >= 0 && tensor.offset + tensor.bytes <= bytes.length, name);
      assert.ok(
        tensor.shape.every((n) => Number.isSafeInteger(n) && n > 0),
        name,
      );
      assert.is(
        tensor.bytes,
        bytesOf(
          tensor.dtype,
          tensor.shape.reduce((a, b) => a * b),
        ),
        name,
      );
    }
    const places = [...file.tensors.values()].sort((a, b) => a.offset - b.offset);
    for (let i = 1; i < places.length; i++) assert.ok(places[i].offset >= places[i - 1].offset + places[i - 1].bytes);
    const { tokens, bos, eos } = file.vocabulary ?? { tokens: [new Uint8Array(0)], eos: [] };
    for (const id of [bos ?? 0, ...eos]) assert.ok(id in tokens);
    return true;
  } catch (error) {
    if (!(error instanceof RwkvError)) throw error;
    assert.ok(error.code === "weights" || error.code === "unsupported", error.code);
    assert.ok(error.message.startsWith("fuzzed.gguf"), error.message);
    return false;
  }
}

test("the file itself is sound", async () => assert.ok(await opens(whole)));

test("cut anywhere, it is refused", async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.nat(headerBytes), fc.nat(whole.length - 1)), async (length) =>
      assert.not(await opens(whole.subarray(0, length))),
    ),
    { numRuns: runs() },
  );
});

test("with bytes changed in its header", async () => {
  const change = fc.tuple(fc.nat(headerBytes - 1), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
      const bytes = whole.slice();
      for (const [at, value] of changes) bytes[at] = value;
      await opens(bytes);
    }),
    { numRuns: runs() },
  );
});

test("with a number anywhere in its header replaced by one that is likely to hurt", async () => {
  const powers = fc
    .integer({ min: 0, max: 64 })
    .chain((p) => fc.integer({ min: -2, max: 2 }).map((d) => 2n ** BigInt(p) + BigInt(d)));
  const number = fc.oneof(
    powers,
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: 0n, max: BigInt(whole.length) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.nat(headerBytes - 8), number, fc.constantFrom(4, 8), async (at, value, width) => {
      const bytes = whole.slice();
      const view = new DataView(bytes.buffer);
      if (width === 8) view.setBigUint64(at, BigInt.asUintN(64, value), true);
      else view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
      await opens(bytes);
    }),
    { numRuns: runs() },
  );
});

test("with a part of its header moved, repeated or left out", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(headerBytes), fc.nat(headerBytes), fc.nat(300), async (from, to, length) => {
      const end = Math.min(headerBytes, from + length);
      await opens(joined(whole.subarray(0, to), whole.subarray(from, end), whole.subarray(to)));
      await opens(joined(whole.subarray(0, from), whole.subarray(end)));
    }),
    { numRuns: runs() },
  );
});

test("noise after the magic", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.boolean(), async (noise, versioned) => {
      await opens(Uint8Array.of(71, 71, 85, 70, ...(versioned ? [3, 0, 0, 0] : []), ...noise));
    }),
    { numRuns: runs() },
  );
});

test.run();
