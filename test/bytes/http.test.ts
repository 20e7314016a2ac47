// Files on web servers: good ones, and ones that misbehave.
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type HttpOptions, httpSource } from "../../src/bytes/http.ts";
import { readPieces } from "../../src/bytes/source.ts";
import type { Source } from "../../src/types.ts";
import { refused } from "../refused.ts";
import { same, someBytes } from "./bytes.ts";
import { breakAfter, type Handler, rangeOf, type Server, sendAll, sendRange, serve } from "./server.ts";

const MB = 1 << 20;
const FILE = someBytes(12 * MB + 123);
const SMALL = FILE.subarray(0, 1000);

/** Runs a test with a server; `pauses` collects the waits between tries, which take no time. */
async function withServer(
  handler: Handler,
  body: (use: { server: Server; open: (options?: HttpOptions) => Promise<Source>; pauses: number[] }) => Promise<void>,
): Promise<void> {
  const server = await serve(handler);
  const pauses: number[] = [];
  const pause = async (ms: number) => void pauses.push(ms);
  const opened: Source[] = [];
  const open = async (options: HttpOptions = {}) => {
    const source = await httpSource(server.url, { pause, ...options });
    opened.push(source);
    return source;
  };
  try {
    await body({ server, open, pauses });
  } finally {
    for (const source of opened) await source.close();
    await server.close();
  }
}

async function readAll(source: Source): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.size);
  let at = 0;
  for await (const piece of readPieces(source, 0, source.size)) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** The value a promise is rejected with. */
const thrown = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.unreachable("nothing was thrown"),
    (error) => error,
  );

const good: Handler = (request, response) => sendRange(request, response, FILE, { ETag: '"1"' });

test("reads a file front to back in few requests that do not overlap", () =>
  withServer(good, async ({ server, open, pauses }) => {
    const source = await open();
    assert.is(source.size, FILE.length);
    assert.is(server.asked.length, 1, "opening takes one request");
    same(await readAll(source), FILE);
    let next = 0;
    for (const { range } of server.asked) {
      const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(range!)!;
      assert.is(Number(from), next, range);
      next = Number(last) + 1;
    }
    assert.is(next, FILE.length);
    assert.ok(server.asked.length <= 7, `${server.asked.length} requests`);
    assert.equal(pauses, []);
    for (const { headers } of server.asked) assert.match(headers["accept-encoding"]!, /^identity/);
  }));

test("reads that were called at the same time are answered in order", () =>
  withServer(good, async ({ server, open }) => {
    const source = await open();
    const offsets = Array.from({ length: 12 }, (_, i) => i * MB);
    const pieces = await Promise.all(offsets.map((offset) => source.read(offset, MB)));
    for (const [i, offset] of offsets.entries()) same(pieces[i], FILE.subarray(offset, offset + MB), `piece ${i}`);
    assert.ok(server.asked.length <= 7, `${server.asked.length} requests`);
  }));

test("steps back within the last megabytes without a request, and further back with one", () =>
  withServer(good, async ({ server, open }) => {
    const source = await open();
    await source.read(0, 6 * MB);
    const before = server.asked.length;
    same(await source.read(3 * MB, 100), FILE.subarray(3 * MB, 3 * MB + 100));
    assert.is(server.asked.length, before);
    same(await source.read(10, 100), FILE.subarray(10, 110));
    assert.is(server.asked.length, before + 1);
    // Not more than about what is needed, for it is not said that reading goes on there.
    const [from, to] = /(\d+)-(\d+)/.exec(server.asked.at(-1)!.range!)!.slice(1).map(Number);
    assert.is(from, 10);
    assert.ok(to - from <= 256 << 10);
  }));

test("a file that is read from both ends first is asked for no byte twice", () =>
  withServer(good, async ({ server, open }) => {
    const source = await open();
    const reads = [
      [0, 512],
      [FILE.length - 22, 22],
      [FILE.length - 30_000, 29_000],
      [64, 100_000],
      [FILE.length - 60_000, 30],
    ];
    for (const [from, count] of reads) same(await source.read(from, count), FILE.subarray(from, from + count));
    assert.is(server.asked.length, 2);
    for (let at = 100_064; at < FILE.length; at += MB) {
      const count = Math.min(MB, FILE.length - at);
      same(await source.read(at, count), FILE.subarray(at, at + count));
    }
    const ranges = server.asked.map(({ range }) => /(\d+)-(\d+)/.exec(range!)!.slice(1).map(Number));
    ranges.sort(([a], [b]) => a - b);
    let next = 0;
    for (const [from, last] of ranges) {
      assert.is(from, next);
      next = last + 1;
    }
    assert.is(next, FILE.length);
    assert.ok(ranges.length <= 8, `${ranges.length} requests`);
  }));

test("gives the right bytes for any sequence of reads", () =>
  withServer(good, async ({ open }) => {
    const source = await open();
    const near = fc.nat({ max: 300_000 });
    const offset = fc.oneof(
      fc.nat({ max: FILE.length }),
      near,
      near.map((n) => FILE.length - n),
    );
    const length = fc.oneof(fc.nat({ max: 1000 }), fc.nat({ max: 3 * MB }));
    const reads = fc.array(fc.tuple(offset, length), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(reads, async (list) => {
        const ranges = list.map(([from, count]) => [from, Math.min(count, FILE.length - from)]);
        const pieces = await Promise.all(ranges.map(([from, count]) => source.read(from, count)));
        for (const [i, [from, count]] of ranges.entries()) same(pieces[i], FILE.subarray(from, from + count));
      }),
      { numRuns: 20 },
    );
  }));

test("what is read belongs to the caller", () =>
  withServer(good, async ({ open }) => {
    const source = await open();
    const piece = await source.read(0, 10);
    assert.is(piece.buffer.byteLength, 10);
    piece.fill(0);
    same(await source.read(0, 10), FILE.subarray(0, 10));
  }));

test("refuses ranges outside of the file", () =>
  withServer(good, async ({ open }) => {
    const source = await open();
    await refused(source.read(FILE.length, 1), "weights", /model\.gguf/, new RegExp(`${FILE.length} bytes`));
    await refused(source.read(-1, 1), "weights", /byte -1/);
  }));

for (const [kind, headers] of [
  ["with a length", {}],
  ["without a length", { "Content-Length": "" }],
] as const)
  test(`a server without ranges, ${kind}: the file is fetched once`, () =>
    withServer(
      (_, response) => sendAll(response, FILE, headers),
      async ({ server, open }) => {
        const source = await open();
        assert.is(source.size, FILE.length);
        same(await source.read(11 * MB, MB), FILE.subarray(11 * MB, 12 * MB));
        same(await readAll(source), FILE);
        assert.is(server.asked.length, 1);
      },
    ));

test("a server without ranges: a connection that breaks is taken up by skipping what came", () =>
  withServer(
    (request, response, count) => {
      if (count < 2) breakAfter((count + 1) * 3 * MB, request, response, FILE, false);
      else sendAll(response, FILE);
    },
    async ({ server, open, pauses }) => {
      same(await readAll(await open()), FILE);
      assert.is(server.asked.length, 3);
      assert.is(pauses.length, 2);
    },
  ));

test("a server without ranges and a file that is too large for memory", async () => {
  const options = { most: 5 * MB };
  await withServer(
    (_, response) => sendAll(response, FILE),
    ({ open }) => refused(open(options), "memory", /model\.gguf/, /larger than 5242880 bytes/, /range/),
  );
  // It may not say so beforehand.
  await withServer(
    (_, response) => sendAll(response, FILE, { "Content-Length": "" }),
    ({ open }) => refused(open(options), "memory", /larger than 5242880 bytes/),
  );
});

for (const [kind, range] of Object.entries({
  hidden: "",
  "of unknown size": "bytes 0-999/*",
}))
  test(`a Content-Range that is ${kind}: the whole file is fetched instead`, () =>
    withServer(
      (request, response) => {
        if (request.headers.range) sendRange(request, response, SMALL, { "Content-Range": range });
        else sendAll(response, SMALL);
      },
      async ({ server, open }) => {
        same(await readAll(await open()), SMALL);
        assert.equal(
          server.asked.map(({ range }) => range !== undefined),
          [true, false],
        );
      },
    ));

for (const status of [200, 206])
  test(`a server that compresses what it was asked not to (${status}): the whole file is fetched instead`, () =>
    withServer(
      (request, response) => {
        const body = gzipSync(SMALL);
        const headers = { "Content-Encoding": "gzip", "Content-Length": body.length };
        if (request.headers.range && status === 206) {
          const range = { "Content-Range": `bytes 0-${body.length - 1}/${body.length}` };
          response.writeHead(206, { ...headers, ...range });
        } else response.writeHead(200, headers);
        response.end(body);
      },
      async ({ server, open }) => {
        same(await readAll(await open()), SMALL);
        assert.is(server.asked.length, 2);
      },
    ));

for (const [kind, range] of Object.entries({
  "another place": `bytes 1-1000/${FILE.length}`,
  "nothing that makes sense": "octets 5",
  "less than nothing": `bytes 0--1/${FILE.length}`,
  "more than the file has": "bytes 0-999/500",
  "an impossible size": "bytes 0-999/99999999999999999999",
}))
  test(`a Content-Range that says ${kind} is refused at once`, () =>
    withServer(
      (request, response) => sendRange(request, response, FILE, { "Content-Range": range }),
      async ({ server, open }) => {
        await refused(
          open(),
          "network",
          /model\.gguf/,
          /asked for "bytes 0-262143"/,
          new RegExp(range.replace("/", ".")),
        );
        assert.is(server.asked.length, 1);
      },
    ));

test("a Content-Length that contradicts the Content-Range is refused at once", () =>
  withServer(
    (request, response) => {
      const [from, to] = rangeOf(request, FILE.length);
      sendRange(request, response, FILE.subarray(0, 500), {
        "Content-Range": `bytes ${from}-${to - 1}/${FILE.length}`,
        "Content-Length": 500,
      });
    },
    async ({ server, open }) => {
      await refused(open(), "network", /says that it sends "bytes 0-262143.*in 500 bytes/);
      assert.is(server.asked.length, 1);
    },
  ));

test("a server may send less than asked for", () =>
  withServer(
    (request, response) => {
      const [from, to] = rangeOf(request, FILE.length);
      const end = Math.min(to, from + 3 * MB);
      sendRange(request, response, FILE, {
        "Content-Range": `bytes ${from}-${end - 1}/${FILE.length}`,
        "Content-Length": end - from,
      });
    },
    async ({ open, pauses }) => {
      same(await readAll(await open()), FILE);
      assert.equal(pauses, []);
    },
  ));

test("a connection that breaks is taken up at the byte where it broke off", () =>
  withServer(
    (request, response, count) => {
      if (count % 2) breakAfter(100_000 + count, request, response, FILE);
      else good(request, response, count);
    },
    async ({ server, open, pauses }) => {
      same(await readAll(await open()), FILE);
      assert.ok(pauses.length > 0);
      const starts = server.asked.map(({ range }) => Number(/\d+/.exec(range!)));
      assert.ok(starts[2] > starts[1] && starts[2] <= starts[1] + 100_001, `${starts}`);
      // It always got further, so no pause is longer than the first.
      assert.equal([...new Set(pauses)], [500]);
    },
  ));

test("a connection that always breaks without a byte is given up", () =>
  withServer(
    (request, response, count) => {
      if (count === 0) good(request, response, count);
      else breakAfter(0, request, response, FILE);
    },
    async ({ server, open, pauses }) => {
      const source = await open();
      await refused(source.read(0, MB), "network", /model\.gguf/, /6 tries/, /at byte 262144 of 12583035/);
      assert.is(server.asked.length, 1 + 6);
      assert.equal(pauses, [500, 1000, 2000, 4000, 8000]);
    },
  ));

test("503 twice, then fine", () =>
  withServer(
    (request, response, count) => {
      if (count < 2) response.writeHead(503).end("later");
      else good(request, response, count);
    },
    async ({ open, pauses }) => {
      same(await (await open()).read(0, 10), FILE.subarray(0, 10));
      assert.equal(pauses, [500, 1000]);
    },
  ));

test("503 for ever: says what was tried, without the query", () =>
  withServer(
    (_, response) => response.writeHead(503).end("later"),
    async ({ server, open }) => {
      await refused(open(), "network", /^http:\/\/127[\d.:]+\/model\.gguf\?… /, /answered 503/, /6 tries/);
      const error = (await thrown(open())) as Error;
      assert.not.match(`${error.message} ${error.cause}`, /secret/);
      assert.is(server.asked.length, 12);
    },
  ));

test("429 waits as long as the server asks, in seconds or until a time", () =>
  withServer(
    (request, response, count) => {
      const soon = new Date(Date.now() + 30_000).toUTCString();
      if (count === 0) response.writeHead(429, { "Retry-After": "7" }).end();
      else if (count === 1) response.writeHead(429, { "Retry-After": soon }).end();
      else if (count === 2) response.writeHead(429, { "Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT" }).end();
      else if (count === 3) response.writeHead(429, { "Retry-After": "soon" }).end();
      else good(request, response, count);
    },
    async ({ open, pauses }) => {
      await open();
      assert.is(pauses[0], 7000);
      assert.ok(pauses[1] > 0 && pauses[1] <= 30_000, `${pauses[1]}`);
      assert.equal(pauses.slice(2), [0, 4000]);
    },
  ));

test("a server that asks to wait for too long is not waited for", () =>
  withServer(
    (_, response) => response.writeHead(429, { "Retry-After": "3600" }).end(),
    async ({ server, open }) => {
      await refused(open(), "network", /answered 429/, /wait for 3600 seconds/);
      assert.is(server.asked.length, 1);
    },
  ));

for (const [status, hint] of [
  [400, /400/],
  [401, /Authorization/],
  [403, /Authorization/],
  [404, /is the address right/],
  [416, /shorter/],
] as const)
  test(`${status} is not asked again`, () =>
    withServer(
      (_, response) => response.writeHead(status).end("no"),
      async ({ server, open, pauses }) => {
        await refused(open(), "network", /model\.gguf/, new RegExp(`answered ${status}`), hint);
        assert.is(server.asked.length, 1);
        assert.equal(pauses, []);
      },
    ));

test("redirects that lead in a circle are not followed again and again", () =>
  withServer(
    (request, response) => response.writeHead(302, { Location: request.url! }).end(),
    async ({ open, pauses }) => {
      await refused(open(), "network", /model\.gguf\?… could not be read: .*redirect/i);
      assert.equal(pauses, []);
    },
  ));

test("an empty file is empty", async () => {
  const sizes: number[] = [];
  await withServer(
    (_, response) => response.writeHead(416, { "Content-Range": "bytes */0" }).end(),
    async ({ open }) => void sizes.push((await open()).size),
  );
  await withServer(
    (_, response) => response.writeHead(200, { "Content-Length": 0 }).end(),
    async ({ open }) => void sizes.push((await open()).size),
  );
  assert.equal(sizes, [0, 0]);
});

const changes: Record<string, [before: Record<string, string>, after: Record<string, string>, RegExp]> = {
  ETag: [{ ETag: '"1"' }, { ETag: '"2"' }, /ETag was "1", and is "2"/],
  time: [
    { "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT" },
    { "Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT" },
    /time was Mon.*, and is Tue/,
  ],
};
for (const [kind, [before, after, message]] of Object.entries(changes))
  test(`a file whose ${kind} changes while it is read`, () =>
    withServer(
      (request, response, count) => sendRange(request, response, FILE, count < 2 ? before : after),
      async ({ server, open }) => {
        const source = await open();
        await source.read(0, MB);
        await refused(source.read(MB, 8 * MB), "network", /model\.gguf/, /changed on the server/, message);
        assert.is(server.asked.length, 3);
      },
    ));

test("a file whose size changes while it is read, or that is sent whole then", () =>
  withServer(
    (request, response, count) => {
      if (count === 0) sendRange(request, response, FILE);
      else if (count === 1) sendRange(request, response, FILE.subarray(1));
      else sendAll(response, FILE.subarray(1));
    },
    async ({ open }) => {
      const source = await open();
      for (let i = 0; i < 2; i++) await refused(source.read(0, MB), "network", /size was 12583035, and is 12583034/);
    },
  ));

test("a server that gives ranges only sometimes is asked again", () =>
  withServer(
    (request, response, count) => {
      if (count % 2) sendAll(response, FILE, { ETag: '"1"' });
      else good(request, response, count);
    },
    async ({ open, pauses }) => {
      same(await readAll(await open()), FILE);
      assert.ok(pauses.length > 0);
    },
  ));

test("headers go to the server, and Authorization not to another origin it redirects to", () =>
  withServer(good, ({ server: other }) =>
    withServer(
      (request, response, count) => {
        if (request.url === "/moved") good(request, response, count);
        else response.writeHead(302, { Location: count === 0 ? "/moved" : other.url }).end();
      },
      async ({ server, open }) => {
        const source = await open({ headers: { Authorization: "Bearer abc", "X-Own": "1" } });
        same(await source.read(0, 10), FILE.subarray(0, 10));
        assert.equal(
          server.asked.map(({ headers }) => headers.authorization),
          ["Bearer abc", "Bearer abc"],
        );
        assert.is(other.asked.length, 0);
        same(await source.read(MB, 10), FILE.subarray(MB, MB + 10));
        assert.is(server.asked[2].headers.authorization, "Bearer abc");
        assert.is(server.asked[2].headers["x-own"], "1");
        assert.is(other.asked.length, 1);
        assert.is(other.asked[0].headers.authorization, undefined);
        assert.ok(other.asked[0].range);
      },
    ),
  ));

test("an abort ends opening at once, while the server is silent", () =>
  withServer(
    () => {},
    async ({ open }) => {
      const stop = new AbortController();
      const opening = open({ signal: stop.signal });
      const reason = new Error("enough");
      setTimeout(() => stop.abort(reason), 20);
      assert.is(await thrown(opening), reason);
    },
  ));

test("an abort ends one read at once, and not those that wait behind it", () =>
  withServer(
    (request, response, count) => {
      const [from, to] = rangeOf(request, FILE.length);
      if (count === 0 || from >= 2 * MB) return good(request, response, count);
      // What the first read needs stops coming.
      response.writeHead(206, { "Content-Range": `bytes ${from}-${to - 1}/${FILE.length}`, ETag: '"1"' });
      response.write(FILE.subarray(from, from + 1000));
    },
    async ({ open, pauses }) => {
      const source = await open();
      const [first, second] = [new AbortController(), new AbortController()];
      const reading = source.read(0, MB, first.signal);
      const waiting = source.read(MB, MB, second.signal);
      const third = source.read(2 * MB, MB);
      second.abort("second");
      assert.is(await thrown(waiting), "second");
      setTimeout(() => first.abort("first"), 20);
      assert.is(await thrown(reading), "first");
      same(await third, FILE.subarray(2 * MB, 3 * MB));
      assert.equal(pauses, []);
      assert.is(await thrown(source.read(0, 1, AbortSignal.abort("before"))), "before");
    },
  ));

test("an abort ends the pause between two tries", () =>
  withServer(
    (_, response) => response.writeHead(503, { "Retry-After": "60" }).end(),
    async ({ open }) => {
      const stop = new AbortController();
      const opening = open({ signal: stop.signal, pause: undefined });
      setTimeout(() => stop.abort("enough"), 50);
      assert.is(await thrown(opening), "enough");
    },
  ));

test("a server that falls silent is asked again", () =>
  withServer(
    (request, response, count) => {
      if (count > 0) good(request, response, count);
    },
    async ({ open, pauses }) => {
      const source = await open({ silence: 300 });
      same(await source.read(0, 10), FILE.subarray(0, 10));
      assert.ok(pauses.length >= 1);
    },
  ));

test("a server that is slow is waited for", () =>
  withServer(
    (request, response) => {
      const [from, to] = rangeOf(request, SMALL.length);
      response.writeHead(206, { "Content-Range": `bytes ${from}-${to - 1}/${SMALL.length}` });
      let at = from;
      const timer = setInterval(() => {
        response.write(SMALL.subarray(at, at + 50));
        at += 50;
        if (at < to) return;
        clearInterval(timer);
        response.end();
      }, 2);
    },
    async ({ server, open, pauses }) => {
      same(await readAll(await open()), SMALL);
      assert.is(server.asked.length, 1);
      assert.equal(pauses, []);
    },
  ));

test("close ends reads that are on their way, and later ones say so", () =>
  withServer(
    (request, response, count) => {
      if (count === 0) good(request, response, count);
    },
    async ({ open }) => {
      const source = await open();
      const reading = source.read(MB, MB);
      const waiting = source.read(0, 10);
      setTimeout(() => source.close(), 20);
      await refused(reading, "closed", /model\.gguf/);
      await refused(waiting, "closed", /model\.gguf/);
      await refused(source.read(0, 1), "closed", /model\.gguf/);
      await source.close();
    },
  ));

test("a server that is not there is given up sooner", async () => {
  const server = await serve(good);
  await server.close();
  const pauses: number[] = [];
  const pause = async (ms: number) => void pauses.push(ms);
  const error = (await thrown(httpSource(server.url, { pause }))) as Error;
  await refused(Promise.reject(error), "network", /model\.gguf/, /3 tries/, /CORS/);
  assert.not.match(`${error.message} ${error.cause}`, /secret/);
  assert.equal(pauses, [500, 1000]);
});

test("opens files beside the file, and says when there are none", () =>
  withServer(
    (request, response) => {
      const { pathname } = new URL(request.url!, "http://localhost");
      if (pathname === "/model.gguf" || pathname === "/a%3Ab%20%23c.gguf") sendRange(request, response, SMALL);
      else if (pathname === "/forbidden") response.writeHead(403).end();
      else response.writeHead(404).end();
    },
    async ({ server, open }) => {
      const source = await open({ headers: { Authorization: "Bearer abc" } });
      const beside = await source.sibling!("a:b #c.gguf");
      same(await readAll(beside!), SMALL);
      assert.is(server.asked.at(-1)!.headers.authorization, "Bearer abc");
      assert.is(server.asked.at(-1)!.path, "/a%3Ab%20%23c.gguf?token=secret");
      await beside!.close();
      assert.is(await source.sibling!("other.gguf"), undefined);
      await refused(source.sibling!("forbidden"), "network", /403/);
      for (const name of ["../x", "a/b", "a\\b", "..", ".", "", "a\0b", "http://127.0.0.1/", "x".repeat(300)])
        await refused(source.sibling!(name), "weights", /model\.gguf/, /not the name of a file beside it/);
    },
  ));

test("URLs and headers that cannot be used are refused without showing secrets", async () => {
  await refused(httpSource("model.gguf"), "input", /not a URL/);
  const error = (await thrown(httpSource("http://user:secret@127.0.0.1/a.gguf"))) as Error;
  assert.match(error.message, /^http:\/\/127\.0\.0\.1\/a\.gguf .*Authorization/);
  assert.not.match(error.message, /secret/);
  const headers = { Authorization: "sec\nret" };
  await refused(httpSource("http://127.0.0.1/a.gguf", { headers }), "input", /^headers must be/);
});

test.run();
