// Downloads that are kept: what comes from the store, what from the web, and what happens when either fails.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { DownloadCache } from "../../src/bytes/cache.ts";
import type { CachedOptions } from "../../src/bytes/cached.ts";
import { type BlockStore, memoryStore, noRoom } from "../../src/bytes/store.ts";
import type { Source } from "../../src/types.ts";
import { refused } from "../refused.ts";
import { same, someBytes } from "./bytes.ts";
import { type Handler, rangeOf, type Server, sendAll, sendRange, serve } from "./server.ts";

const BLOCK = 1 << 16;
/** Ten blocks and a bit. */
const FILE = someBytes(10 * BLOCK + 1234);
const SIZE = FILE.length;

/** A server that counts the bytes it was asked for, and may be given another file or be switched off. */
interface Web extends Server {
  file: Uint8Array<ArrayBuffer>;
  headers: Record<string, string>;
  /** Answers in the place of the file, if it is set. */
  instead: Handler | undefined;
  bytes: number;
}

async function withWeb(work: (web: Web) => Promise<void>): Promise<void> {
  const server = await serve((request, response, count) => {
    if (web.instead) return web.instead(request, response, count);
    const [from, to] = rangeOf(request, web.file.length);
    web.bytes += to - from;
    sendRange(request, response, web.file, web.headers);
  });
  const web: Web = Object.assign(server, { file: FILE, headers: { ETag: '"1"' }, instead: undefined, bytes: 0 });
  try {
    await work(web);
  } finally {
    await server.close();
  }
}

/** Opens through a cache with small blocks, and without long pauses. */
function open(store: BlockStore, url: string, options: CachedOptions = {}): Promise<Source> {
  return new DownloadCache(store).open(url, { block: BLOCK, pause: async () => {}, ...options });
}

/** All of it in one read. */
async function readAll(store: BlockStore, url: string, options?: CachedOptions): Promise<Source> {
  const source = await open(store, url, options);
  same(await source.read(0, source.size), FILE.subarray(0, source.size));
  await source.close();
  return source;
}

const blocks = async (store: BlockStore, entry = 0): Promise<string[]> =>
  [...(await store.files((await store.entries())[entry])).keys()].filter((name) => name !== "meta").sort();

test("a second time nothing is downloaded but one byte, which asks whether the file has changed", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    const first = await readAll(store, web.url);
    assert.equal(first.cache, { store: "memory", reused: 0, fetched: SIZE });
    assert.is((await blocks(store)).length, 11);
    web.bytes = 0;
    const asked = web.asked.length;
    const second = await readAll(store, web.url);
    assert.equal(second.cache, { store: "memory", reused: SIZE, fetched: 0 });
    assert.is(second.name, first.name);
    assert.is(web.bytes, 1);
    assert.is(web.asked.length, asked + 1);
  }));

test("what was read is kept, what was not is not asked for", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    const source = await open(store, web.url);
    same(await source.read(BLOCK * 7 + 5, 10), FILE.subarray(BLOCK * 7 + 5, BLOCK * 7 + 15));
    same(await source.read(BLOCK * 3 - 5, 10), FILE.subarray(BLOCK * 3 - 5, BLOCK * 3 + 5));
    await source.close();
    assert.equal(await blocks(store), ["2", "3", "7"]);
    assert.equal(source.cache, { store: "memory", reused: 0, fetched: 3 * BLOCK });
  }));

test("a download that broke off goes on where it was", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    const source = await open(store, web.url);
    await source.read(0, 4 * BLOCK);
    await source.close();
    web.asked.length = 0;
    const rest = await readAll(store, web.url);
    assert.equal(rest.cache, { store: "memory", reused: 4 * BLOCK, fetched: SIZE - 4 * BLOCK });
    const ranges = web.asked.map(({ range }) => range);
    assert.is(ranges[0], "bytes=0-0");
    assert.ok(
      ranges.slice(1).every((range) => Number(/\d+/.exec(range!)![0]) >= 4 * BLOCK),
      `${ranges}`,
    );
  }));

test("the last block alone is missing: only it is fetched", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    const source = await open(store, web.url);
    await source.read(0, 10 * BLOCK);
    await source.close();
    web.bytes = 0;
    const rest = await readAll(store, web.url);
    assert.is(rest.cache!.fetched, 1234);
    assert.is(web.bytes, 1 + 1234);
  }));

test("a server without ranges is asked once, and not for the file a second time", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    web.instead = (_, response) => sendAll(response, FILE, { ETag: '"1"' });
    await readAll(store, web.url);
    const again = await readAll(store, web.url);
    assert.equal(again.cache, { store: "memory", reused: SIZE, fetched: 0 });
    // What is missing comes from the start of the file, whatever it is.
    const [entry] = await store.entries();
    await store.write(entry, "5", new Uint8Array(3));
    const mended = await readAll(store, web.url);
    assert.is(mended.cache!.fetched, BLOCK);
  }));

for (const [what, before, after] of [
  ["ETag", { ETag: '"1"' }, { ETag: '"2"' }],
  [
    "Last-Modified",
    { "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT" },
    { "Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT" },
  ],
] as const)
  test(`a file with another ${what} is fetched again, and the old one deleted`, () =>
    withWeb(async (web) => {
      const store = memoryStore();
      web.headers = before;
      await readAll(store, web.url);
      const [old] = await store.entries();
      assert.is((await readAll(store, web.url)).cache!.fetched, 0);
      web.headers = after;
      web.file = someBytes(SIZE).map((byte) => byte ^ 1);
      const source = await open(store, web.url);
      same(await source.read(0, SIZE), web.file);
      await source.close();
      assert.is(source.cache!.fetched, SIZE);
      const names = await store.entries();
      assert.is(names.length, 1);
      assert.not.ok(names.includes(old));
    }));

test("a file of another size is another file, though it has the same ETag", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    web.file = FILE.slice(0, 3 * BLOCK);
    const source = await readAll(store, web.url);
    assert.is(source.size, 3 * BLOCK);
    assert.is(source.cache!.fetched, 3 * BLOCK);
  }));

test("a file that changes between two blocks is an error, and never a mixture", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await (await open(store, web.url)).close();
    const source = await open(store, web.url);
    web.headers = { ETag: '"2"' };
    await refused(source.read(0, 10), "network", /changed on the server/, /load it again/);
    await source.close();
  }));

test("without ETag and Last-Modified nothing is kept, and that is said once", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    web.headers = {};
    const warnings: string[] = [];
    const source = await readAll(store, web.url, { onWarning: (message) => warnings.push(message) });
    assert.equal(source.cache, { store: "memory", reused: 0, fetched: SIZE, problem: "unversioned" });
    assert.equal(await store.entries(), []);
    assert.is(warnings.length, 1);
    assert.match(warnings[0], /Not everything is kept .*model\.gguf\?… gives neither ETag nor Last-Modified/);
    assert.not.match(warnings[0], /secret/);
  }));

test("what never changes is kept without either, and used without asking", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    web.headers = {};
    await readAll(store, web.url, { immutable: true });
    web.asked.length = 0;
    await readAll(store, web.url, { immutable: true });
    assert.is(web.asked.length, 0);
  }));

test("a signature in the query that changes is no other file; another file under another query is", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    const again = await readAll(store, `${web.url}2`);
    assert.is(again.cache!.fetched, 0);
    web.headers = { ETag: '"other"' };
    await readAll(store, `${web.url}3`);
    assert.is((await store.entries()).length, 2);
    web.headers = { ETag: '"1"' };
    assert.is((await readAll(store, web.url)).cache!.fetched, 0);
  }));

test("a server that cannot be reached or has trouble: what is kept is used, with a warning", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    const answers: Handler[] = [
      (_, response) => response.socket!.destroy(),
      (_, response) => response.writeHead(503).end(),
      () => {},
    ];
    for (const answer of answers) {
      web.instead = answer;
      const warnings: string[] = [];
      await readAll(store, web.url, { onWarning: (message) => warnings.push(message), silence: 50 });
      assert.is(warnings.length, 1);
      assert.match(warnings[0], /model\.gguf\?… cannot be asked whether it has changed; what was kept of it is used/);
    }
  }));

test("what a server refuses is refused, kept or not", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    for (const status of [401, 403, 404, 410]) {
      web.instead = (_, response) => response.writeHead(status).end();
      await refused(open(store, web.url), "network", new RegExp(`${status}`));
    }
    web.instead = undefined;
    assert.is((await readAll(store, web.url)).cache!.fetched, 0);
  }));

test("a web page in the place of the file is not kept, and does not cost what is", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    const page = new TextEncoder().encode("<!doctype html>Please log in");
    web.instead = (_, response) => sendAll(response, page, { "Content-Type": "text/html; charset=utf-8", ETag: '"2"' });
    const source = await open(store, web.url);
    same(await source.read(0, source.size), page);
    await source.close();
    web.instead = undefined;
    assert.is((await readAll(store, web.url)).cache!.fetched, 0);
    assert.is((await store.entries()).length, 1);
  }));

test("a block that was damaged, cut or exchanged is fetched again, and mended", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    const [entry] = await store.entries();
    const one = (await store.read(entry, "1"))!;
    const damages: [block: string, bytes: Uint8Array<ArrayBuffer>][] = [
      ["1", one.with(77, one[77] ^ 1)],
      ["1", one.with(one.length - 1, one.at(-1)! ^ 1)],
      ["1", one.slice(0, -1)],
      ["1", new Uint8Array(0)],
      ["1", new Uint8Array(one.length)],
      ["2", one],
      ["10", (await store.read(entry, "10"))!.slice(0, 1000)],
    ];
    for (const [block, bytes] of damages) {
      await store.write(entry, block, bytes);
      const mended = await readAll(store, web.url);
      assert.is(mended.cache!.fetched, block === "10" ? 1234 : BLOCK, block);
      assert.is((await readAll(store, web.url)).cache!.fetched, 0);
    }
  }));

test("an entry that says nothing sensible of itself counts as none", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    const [entry] = await store.entries();
    const meta = JSON.parse(new TextDecoder().decode(await store.read(entry, "meta")));
    for (const wrong of [
      "",
      "{",
      "null",
      "[]",
      ...Object.entries({ format: 2, size: -1, block: 0, since: "never", etag: 5, url: null }).map(([key, value]) =>
        JSON.stringify({ ...meta, [key]: value }),
      ),
    ]) {
      await store.write(entry, "meta", new TextEncoder().encode(wrong));
      assert.equal(await new DownloadCache(store).list(), [], wrong);
      await readAll(store, web.url);
      assert.equal(await store.entries(), [entry], wrong);
      assert.is((await new DownloadCache(store).list())[0].stored, SIZE, wrong);
    }
  }));

test("a store without room: loading goes on, what fitted is kept and used, and it is said", () =>
  withWeb(async (web) => {
    const warnings: string[] = [];
    const onWarning = (message: string) => void warnings.push(message);
    const small = memoryStore(5 * BLOCK);
    const source = await readAll(small, web.url, { onWarning });
    assert.is(source.cache!.problem, "full");
    assert.equal(await small.entries(), []);
    // It said that there was room, and then there was not.
    const lying: BlockStore = { ...small, room: undefined };
    assert.is((await readAll(lying, web.url, { onWarning })).cache!.problem, "full");
    const kept = (await blocks(lying)).length;
    assert.ok(kept >= 3 && kept <= 4, `${kept}`);
    assert.equal((await readAll(lying, web.url, { onWarning })).cache, {
      store: "memory",
      reused: kept * BLOCK,
      fetched: SIZE - kept * BLOCK,
      problem: "full",
    });
    assert.is(warnings.length, 3);
    for (const warning of warnings) assert.match(warning, /Not everything is kept .* memory has no room/);
  }));

test("a store that fails in any of its functions never fails a download", () =>
  withWeb(async (web) => {
    for (const broken of ["entries", "read", "write", "delete", "room"] as const) {
      const store = memoryStore();
      await readAll(store, web.url);
      const fail = async () => {
        throw new Error("it broke");
      };
      const source = await readAll({ ...store, [broken]: fail }, web.url);
      if (broken === "read") assert.is(source.cache!.fetched, SIZE);
      const fresh = await readAll({ ...memoryStore(), [broken]: fail }, web.url);
      assert.is(fresh.cache!.problem, ["entries", "write", "room"].includes(broken) ? "failed" : undefined, broken);
    }
  }));

test("a store that cannot be opened: loading goes on, and the next one tries again", () =>
  withWeb(async (web) => {
    let tries = 0;
    const cache = new DownloadCache(async () => {
      if (++tries === 1) throw new Error("it is locked");
      return memoryStore();
    });
    const warnings: string[] = [];
    const source = await cache.open(web.url, { onWarning: (message) => warnings.push(message) });
    assert.equal(source.cache, { store: "none", reused: 0, fetched: 0, problem: "failed" });
    same(await source.read(5, 5), FILE.subarray(5, 10));
    await source.close();
    assert.match(warnings[0], /it is locked/);
    assert.is((await cache.open(web.url)).cache!.store, "memory");
  }));

test("an entry that is deleted while it is read", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url);
    const source = await open(store, web.url);
    await source.read(0, 10);
    assert.is(await new DownloadCache(store).delete(web.url), 1);
    same(await source.read(0, SIZE), FILE);
    await source.close();
    assert.equal(await store.entries(), []);
  }));

test("two that load the same file at once do each other no harm", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await Promise.all([readAll(store, web.url), readAll(store, web.url), readAll(store, web.url)]);
    assert.is((await readAll(store, web.url)).cache!.fetched, 0);
  }));

test("reads at the same time, over borders of blocks, into buffers", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    const source = await open(store, web.url);
    const into = new ArrayBuffer(3 * BLOCK);
    const reads = Array.from({ length: 20 }, (_, i) => source.read(i * 30_000, 40_000));
    const [last, ...others] = await Promise.all([source.read(BLOCK - 1, 2 * BLOCK, undefined, into), ...reads]);
    assert.is(last.buffer, into);
    same(last, FILE.subarray(BLOCK - 1, 3 * BLOCK - 1));
    others.forEach((bytes, i) => {
      same(bytes, FILE.subarray(i * 30_000, i * 30_000 + 40_000));
      assert.is(bytes.buffer.byteLength, 40_000);
    });
    assert.equal(await source.read(SIZE, 0), new Uint8Array(0));
    await refused(source.read(SIZE - 1, 2), "weights", /2 bytes/);
    await source.close();
    await source.close();
    await refused(source.read(0, 1), "closed", /model\.gguf/);
    assert.ok(source.cache!.fetched <= SIZE);
  }));

test("whatever is read, kept, damaged and forgotten in between: the bytes are right", async () => {
  await withWeb(async (web) => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("read"), at: fc.nat(SIZE), length: fc.nat(3 * BLOCK) }),
      fc.record({ do: fc.constant("damage"), at: fc.nat(10), length: fc.nat(BLOCK) }),
      fc.record({ do: fc.constant("reopen"), at: fc.nat(0), length: fc.nat(0) }),
      fc.record({ do: fc.constant("delete"), at: fc.nat(0), length: fc.nat(0) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const store = memoryStore();
        let source = await open(store, web.url);
        for (const { do: what, at, length } of steps) {
          if (what === "read") {
            const end = Math.min(SIZE, at + length);
            same(await source.read(at, end - at), FILE.subarray(at, end));
          } else if (what === "damage") {
            const [entry] = await store.entries();
            const bytes = entry ? await store.read(entry, String(at)) : undefined;
            if (bytes) bytes[length % bytes.length] ^= 4;
            if (bytes) await store.write(entry, String(at), bytes);
          } else if (what === "delete") await new DownloadCache(store).delete();
          else {
            await source.close();
            source = await open(store, web.url);
          }
        }
        await source.close();
      }),
      { numRuns: 30 },
    );
  });
});

test("an abort ends a read at once, and what was fetched is kept", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    const source = await open(store, web.url);
    await source.read(0, BLOCK);
    // From here on the server is silent.
    web.instead = () => {};
    const stop = new AbortController();
    const read = source.read(5 * BLOCK, BLOCK, stop.signal);
    setTimeout(() => stop.abort("enough"), 20);
    assert.is(await read.catch((error) => error), "enough");
    assert.is(await source.read(0, 1, AbortSignal.abort("no")).catch((error) => error), "no");
    const waiting = source.read(5 * BLOCK, BLOCK);
    const closed = refused(waiting, "closed", /model\.gguf/);
    await source.close();
    await closed;
    assert.equal(await blocks(store), ["0"]);
    for (const signal of [AbortSignal.abort("no"), AbortSignal.timeout(30)]) {
      const error = await open(store, web.url, { signal }).catch((error) => error);
      assert.is(error, signal.reason);
    }
  }));

test("files beside it are kept too; those that are not there are not", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    web.instead = (request, response) => {
      if (request.url!.startsWith("/none")) return response.writeHead(404).end();
      if (request.url!.startsWith("/bare")) return sendRange(request, response, FILE);
      sendRange(request, response, FILE, { ETag: '"1"' });
    };
    for (const fetched of [2 * SIZE, 0]) {
      const source = await open(store, web.url);
      assert.is(await source.sibling!("none.json"), undefined);
      const other = (await source.sibling!("other.json"))!;
      same(await other.read(0, SIZE), FILE);
      // One that cannot be kept does not keep the others from it.
      const bare = (await source.sibling!("bare.json"))!;
      same(await bare.read(0, 10), FILE.subarray(0, 10));
      same(await source.read(0, SIZE), FILE);
      for (const file of [other, bare, source]) await file.close();
      assert.is(source.cache!.fetched, fetched + BLOCK);
      assert.is(source.cache!.problem, "unversioned");
      await refused(source.sibling!("other.json"), "closed", /model\.gguf/);
      await refused((await open(store, web.url)).sibling!("../a"), "weights", /not the name of a file/);
    }
    const urls = (await new DownloadCache(store).list()).map(({ url }) => new URL(url).pathname);
    assert.equal(urls.sort(), ["/model.gguf", "/other.json"]);
  }));

test("list and delete", () =>
  withWeb(async (web) => {
    const cache = new DownloadCache(memoryStore());
    assert.equal(await cache.list(), []);
    assert.is(await cache.delete(), 0);
    const store = await cache.store();
    const { origin } = new URL(web.url);
    web.headers = { ETag: '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT" };
    await readAll(store, web.url);
    const source = await open(store, `${origin}/b.gguf`);
    await source.read(10 * BLOCK, 1);
    await source.close();
    const listed = await cache.list();
    const facts = { size: SIZE, etag: '"1"', modified: "Mon, 01 Jan 2024 00:00:00 GMT" };
    assert.equal(
      listed.map(({ since, ...rest }) => rest).sort((a, b) => a.stored - b.stored),
      [
        { url: `${origin}/b.gguf`, stored: 1234, ...facts },
        { url: `${origin}/model.gguf`, stored: SIZE, ...facts },
      ],
    );
    assert.ok(listed.every(({ since }) => Math.abs(Date.now() - since.getTime()) < 60_000));
    assert.is(await cache.delete(`${origin}/c.gguf`), 0);
    assert.is(await cache.delete(`${origin}/model.gguf?token=other`), 0);
    // As it is listed, and as it was loaded.
    assert.is(await cache.delete(`${origin}/model.gguf`), 1);
    await readAll(store, web.url);
    assert.is(await cache.delete(new URL(web.url)), 1);
    assert.equal(
      (await cache.list()).map(({ url }) => url),
      [`${origin}/b.gguf`],
    );
    assert.is(await cache.delete(), 1);
    assert.equal(await cache.list(), []);
    await refused(cache.delete("no URL"), "input", /"no URL" is not a URL/);
    assert.is(await cache.delete("hf:owner/repo/model.gguf"), 0);
  }));

test("what is listed and stored tells nothing of a query or a header", () =>
  withWeb(async (web) => {
    const store = memoryStore();
    await readAll(store, web.url, { headers: { Authorization: "Bearer secret" } });
    const [entry] = await store.entries();
    const meta = new TextDecoder().decode(await store.read(entry, "meta"));
    assert.not.match(meta + entry + JSON.stringify(await new DownloadCache(store).list()), /secret/);
  }));

test("a list that cannot be made, something that cannot be deleted", async () => {
  const fail = async () => {
    throw new Error("it broke");
  };
  const cache = new DownloadCache({ ...memoryStore(), entries: fail });
  await refused(cache.list(), "input", /What memory keeps cannot be read: it broke/);
  await refused(cache.delete(), "input", /What memory keeps cannot be deleted: it broke/);
  assert.is(await cache.persist(), false);
});

test("URLs that are refused, and those that are not the web", async () => {
  const store = memoryStore();
  await refused(open(store, "nowhere"), "input", /not a URL/);
  await refused(open(store, "https://user:pass@127.0.0.1/a"), "input", /user's name/);
  const data = await open(store, "data:,abc");
  assert.equal(await data.read(0, 3), new TextEncoder().encode("abc"));
  assert.is(data.cache, undefined);
  assert.equal(await store.entries(), []);
  assert.is(noRoom("x").name, "QuotaExceededError");
});

test.run();
