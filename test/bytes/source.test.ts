import { test } from "uvu";
import * as assert from "uvu/assert";
import { blobSource, bytesSource, readPieces } from "../../src/bytes/source.ts";
import { refused } from "../refused.ts";

const BYTES = Uint8Array.from({ length: 100 }, (_, i) => i);
const kinds = {
  bytes: () => bytesSource("some.gguf", BYTES),
  Blob: () => blobSource(new File([BYTES], "some.gguf")),
};

for (const [kind, open] of Object.entries(kinds)) {
  test(`${kind}: reads ranges, the empty one and the last one included`, async () => {
    const source = open();
    assert.is(source.name, "some.gguf");
    assert.is(source.size, 100);
    assert.equal(await source.read(10, 3), Uint8Array.of(10, 11, 12));
    assert.equal(await source.read(98, 2), Uint8Array.of(98, 99));
    assert.equal(await source.read(100, 0), new Uint8Array(0));
    assert.equal(await source.read(0, 100), BYTES);
  });

  test(`${kind}: what is read belongs to the caller`, async () => {
    const source = open();
    const piece = await source.read(0, 4);
    assert.is(piece.buffer.byteLength, 4);
    piece.fill(255);
    assert.equal(await source.read(0, 4), Uint8Array.of(0, 1, 2, 3));
  });

  test(`${kind}: refuses ranges outside, naming the file, the range and the size`, async () => {
    const source = open();
    const outside = [
      [99, 2],
      [101, 0],
      [0, 101],
      [-1, 1],
      [1, -1],
      [0.5, 1],
      [Number.NaN, 1],
      [1, 2 ** 53],
      [2 ** 53, 1],
    ];
    for (const [offset, length] of outside)
      await refused(
        source.read(offset, length),
        "weights",
        /^some\.gguf: /,
        new RegExp(`byte ${offset}\\b`),
        /100 bytes/,
      );
  });

  test(`${kind}: a closed source says so, and closes twice`, async () => {
    const source = open();
    await source.close();
    await source.close();
    await refused(source.read(0, 1), "closed", /some\.gguf/);
  });

  test(`${kind}: an abort rethrows its reason`, async () => {
    const reason = new Error("enough");
    try {
      await open().read(0, 1, AbortSignal.abort(reason));
      assert.unreachable();
    } catch (error) {
      assert.is(error, reason);
    }
  });

  test(`${kind}: readPieces gives the range in order, in pieces`, async () => {
    const pieces: Uint8Array[] = [];
    for await (const piece of readPieces(open(), 5, 90, undefined, 40)) pieces.push(piece);
    assert.equal(
      pieces.map((piece) => piece.length),
      [40, 40, 10],
    );
    assert.equal(
      pieces.flatMap((piece) => [...piece]),
      [...BYTES.subarray(5, 95)],
    );
  });
}

test("a File gives its own name", () => {
  assert.is(blobSource(new File([BYTES], "mine.gguf")).name, "mine.gguf");
  assert.is(blobSource(new Blob([BYTES])).name, "Blob");
});

test("a Blob that cannot be read any more is named", async () => {
  const broken = new ReadableStream({ type: "bytes", pull: () => Promise.reject(new Error("gone")) });
  const blob = (stream: () => ReadableStream) =>
    ({ size: 4, name: "some.gguf", slice: () => ({ stream }) }) as unknown as Blob;
  await refused(blobSource(blob(() => broken)).read(0, 4), "weights", /some\.gguf/, /changed or removed/);
  for (const length of [3, 5]) {
    const other = new Blob([BYTES.subarray(0, length)]);
    await refused(
      blobSource(blob(() => other.stream())).read(0, 4),
      "weights",
      new RegExp(`some\\.gguf: ${length} bytes .* instead of 4`),
    );
  }
});

test.run();
