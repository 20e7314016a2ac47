// Bytes as they arrive, against an array that keeps everything.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Blocks, blocksSource } from "../../src/bytes/blocks.ts";
import { refused } from "../refused.ts";
import { someBytes } from "./bytes.ts";

const BLOCK = 256 << 10;
const FILE = someBytes(5 * BLOCK);

test("holds what was appended and not dropped, whatever the pieces", () => {
  const piece = fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 2 * BLOCK }), fc.constant(BLOCK));
  const step = fc.record({ append: piece, drop: fc.option(fc.nat({ max: FILE.length })) });
  fc.assert(
    fc.property(fc.nat({ max: 1000 }), fc.array(step, { maxLength: 12 }), (start, steps) => {
      const blocks = new Blocks("file", start);
      for (const { append, drop } of steps) {
        const { end } = blocks;
        const count = Math.min(append, FILE.length - end);
        blocks.append(FILE.subarray(end, end + count));
        assert.is(blocks.end, end + count);
        if (drop !== null) {
          const before = blocks.start;
          blocks.drop(drop);
          // Whole blocks only: what lies at and after the offset stays.
          assert.ok(blocks.start >= before && blocks.start <= Math.max(before, Math.min(drop, blocks.end)));
          assert.ok(blocks.start > drop - BLOCK || blocks.start === blocks.end);
        }
        const held = new Uint8Array(blocks.end - blocks.start);
        blocks.copy(blocks.start, held);
        assert.is(Buffer.compare(held, FILE.subarray(blocks.start, blocks.end)), 0);
      }
    }),
    { numRuns: 200 },
  );
});

test("copies from anywhere to anywhere", () => {
  const blocks = new Blocks("file", 7);
  blocks.append(FILE.subarray(7));
  for (const [from, to] of [
    [7, 8],
    [BLOCK, 3 * BLOCK],
    [BLOCK + 6, BLOCK + 8],
    [FILE.length, FILE.length],
    [FILE.length - 1, FILE.length],
  ]) {
    const into = new Uint8Array(to - from);
    blocks.copy(from, into);
    assert.is(Buffer.compare(into, FILE.subarray(from, to)), 0, `${from} to ${to}`);
  }
});

test("holds no more than the most it may", async () => {
  const blocks = new Blocks("model.gguf", 0, 100);
  blocks.append(FILE.subarray(0, 100));
  const more = async () => blocks.append(FILE.subarray(0, 1));
  await refused(more(), "memory", /model\.gguf/, /larger than 100 bytes/);
  const larger = async () => new Blocks("model.gguf").checkSize(2 ** 32 + 1);
  await refused(larger(), "memory", /larger than 4294967296 bytes/);
  new Blocks("model.gguf").checkSize(2 ** 32);
});

test("is a source once everything is there", async () => {
  const blocks = new Blocks("model.gguf");
  blocks.append(FILE);
  const source = blocksSource(blocks);
  assert.is(source.name, "model.gguf");
  assert.is(source.size, FILE.length);
  const piece = await source.read(BLOCK - 1, 2);
  assert.equal(piece, FILE.slice(BLOCK - 1, BLOCK + 1));
  assert.is(piece.buffer.byteLength, 2);
  await refused(source.read(FILE.length, 1), "weights", /model\.gguf/);
  try {
    await source.read(0, 1, AbortSignal.abort("enough"));
    assert.unreachable();
  } catch (error) {
    assert.is(error, "enough");
  }
  await source.close();
  await source.close();
  await refused(source.read(0, 1), "closed", /model\.gguf/);
});

test.run();
