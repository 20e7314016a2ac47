// Streams and responses that a user gives.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readPieces } from "../../src/bytes/source.ts";
import { responseSource, streamSource } from "../../src/bytes/stream.ts";
import type { Source } from "../../src/types.ts";
import { refused } from "../refused.ts";
import { someBytes } from "./bytes.ts";
import { sendAll, serve } from "./server.ts";

const FILE = someBytes(1_000_003);

/** A stream of what `chunks` gives; `cancelled` is told why it was cancelled. */
function streamOf(chunks: Iterable<unknown>, cancelled?: (reason: unknown) => void): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value as Uint8Array);
    },
    cancel: cancelled,
  });
}

function* pieces(length: number): Generator<Uint8Array> {
  for (let at = 0; at < FILE.length; at += length) yield FILE.subarray(at, at + length);
}

async function same(source: Source): Promise<void> {
  assert.is(source.size, FILE.length);
  let at = 0;
  for await (const piece of readPieces(source, 0, source.size, undefined, 300_000)) {
    assert.is(Buffer.compare(piece, FILE.subarray(at, at + piece.length)), 0, `from byte ${at}`);
    at += piece.length;
  }
}

for (const length of [1 << 16, 777, 5_000_000])
  test(`a stream in pieces of ${length} bytes`, async () => {
    const source = await streamSource(streamOf(pieces(length)));
    await same(source);
    assert.equal(await source.read(5, 3), FILE.slice(5, 8), "and back again");
    await source.close();
    await refused(source.read(0, 1), "closed", /the given stream/);
  });

test("pieces may be any view, and are copied", async () => {
  const buffer = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7).buffer;
  const view = new DataView(buffer, 2, 4);
  const source = await streamSource(streamOf([view, new Uint16Array(buffer, 6, 1)]));
  new Uint8Array(buffer).fill(255);
  assert.equal(await source.read(0, 6), Uint8Array.of(2, 3, 4, 5, 6, 7));
});

test("an empty stream is an empty source", async () => {
  assert.is((await streamSource(streamOf([]))).size, 0);
});

test("a stream of other things than bytes is refused, and cancelled", async () => {
  let cancelled = false;
  const stream = streamOf(["text", "more"], () => {
    cancelled = true;
  });
  await refused(streamSource(stream, { name: "upload" }), "input", /upload gives string, not bytes/);
  assert.ok(cancelled);
  await refused(streamSource(streamOf([null])), "input", /gives null/);
});

test("a stream that is larger than may be held is refused, and cancelled", async () => {
  let cancelled = false;
  const stream = streamOf(pieces(1000), () => {
    cancelled = true;
  });
  await refused(streamSource(stream, { most: 10_000 }), "memory", /the given stream/, /larger than 10000 bytes/);
  assert.ok(cancelled);
});

test("a stream that somebody else reads is refused", async () => {
  const stream = streamOf(pieces(1000));
  stream.getReader();
  await refused(streamSource(stream), "input", /the given stream.*being read/);
});

test("a stream that breaks is named, with how far it came", async () => {
  function* broken() {
    yield FILE.subarray(0, 1234);
    throw new Error("cable pulled");
  }
  await refused(streamSource(streamOf(broken())), "network", /the given stream/, /1234 bytes/, /cable pulled/);
});

test("an abort rejects at once, with a stream that gives nothing, and cancels it", async () => {
  const reasons: unknown[] = [];
  const stream = new ReadableStream<Uint8Array>({ cancel: (reason) => void reasons.push(reason) });
  const stop = new AbortController();
  const opening = streamSource(stream, { signal: stop.signal });
  stop.abort("enough");
  for (const promise of [opening, streamSource(streamOf([]), { signal: stop.signal })])
    assert.is(await promise.catch((error) => error), "enough");
  assert.equal(reasons, ["enough"]);
});

test("a response that the user fetched", async () => {
  const server = await serve((_, response) => sendAll(response, FILE));
  try {
    const source = await responseSource(await fetch(server.url));
    assert.match(source.name, /^http:.*\/model\.gguf\?…$/);
    await same(source);
    assert.is(server.asked.length, 1);
  } finally {
    await server.close();
  }
});

test("a response that was made, and one without a body", async () => {
  const source = await responseSource(new Response(FILE));
  assert.is(source.name, "the given response");
  await same(source);
  assert.is((await responseSource(new Response(null))).size, 0);
});

test("a response that is not the whole file is refused", async () => {
  const missing = new Response("no", { status: 404, statusText: "Not Found" });
  await refused(responseSource(missing), "network", /the given response/, /answered 404 \(Not Found\)/);
  await refused(responseSource(new Response("part", { status: 206 })), "input", /part of the file \(206\)/);
  const used = new Response("text");
  await used.text();
  await refused(responseSource(used), "input", /was read before/);
  const opaque = Object.defineProperty(new Response("text"), "type", { value: "opaque" });
  await refused(responseSource(opaque), "input", /opaque/, /cors/);
});

test.run();
