// Downloads that are kept in a folder, in Node and in what has its modules.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { cache, cacheIn, DownloadCache, type LoadOptions, load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultFolder, folderStore } from "../../src/platform/folder-store.ts";
import { type Server, sendRange, serve } from "../bytes/server.ts";
import { storeContract } from "../bytes/store-contract.ts";

const FILE = new Uint8Array(readFileSync("test/fixtures/v7.f32.gguf"));

const folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
test.after(() => rmSync(folder, { recursive: true }));

storeContract("a folder", async () => folderStore(join(folder, "not", "yet", "there")));

test("what is kept is nobody else's to read, and nothing is left of writing", async () => {
  const store = folderStore(join(folder, "private"));
  await store.write("a", "0", new Uint8Array(5), true);
  assert.is(statSync(join(folder, "private", "a")).mode & 0o077, 0);
  writeFileSync(join(folder, "private", "a", "0.5-abc.new"), "half a block of somebody who was ended");
  assert.equal([...(await store.files("a")).keys()], ["0"]);
  await store.delete("a");
  assert.equal(readdirSync(join(folder, "private")), []);
});

test("a place where no folder can be: nothing is there, and writing says so", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  const store = folderStore(join(file, "cache"));
  const code = (work: Promise<unknown>) => work.then(() => undefined).catch((error) => error.code);
  assert.is(await code(store.entries()), "ENOTDIR");
  assert.is(await code(store.write("a", "0", new Uint8Array(5), true)), "ENOTDIR");
});

test("a load whose folder cannot be written goes on, and says so", () =>
  withServer(async (server) => {
    const warnings: string[] = [];
    const place = join(folder, "file", "cache");
    const info = await cacheInfo(server.url, { cache: place, onWarning: (message) => warnings.push(message) });
    assert.equal(info, { store: place, reused: 0, fetched: FILE.length, problem: "failed" });
    assert.is(warnings.length, 1);
    assert.match(warnings[0], /^Not everything is kept for the next time: .*cannot be read: ENOTDIR/);
  }));

test("the usual place is where the operating system wants it", () => {
  const home = homedir();
  assert.is(defaultFolder("linux", {}), join(home, ".cache", "rwkv-wasm"));
  assert.is(defaultFolder("linux", { XDG_CACHE_HOME: "/var/cache/me" }), "/var/cache/me/rwkv-wasm");
  assert.is(defaultFolder("linux", { XDG_CACHE_HOME: "relative" }), join(home, ".cache", "rwkv-wasm"));
  assert.is(defaultFolder("darwin", {}), join(home, "Library", "Caches", "rwkv-wasm"));
  assert.is(defaultFolder("win32", {}), join(home, "AppData", "Local", "rwkv-wasm", "Cache"));
  assert.is(defaultFolder("win32", { LOCALAPPDATA: "/local" }), join("/local", "rwkv-wasm", "Cache"));
});

async function withServer(work: (server: Server) => Promise<void>): Promise<void> {
  const server = await serve((request, response) => sendRange(request, response, FILE, { ETag: '"1"' }));
  try {
    await work(server);
  } finally {
    await server.close();
  }
}

async function cacheInfo(url: string, options: LoadOptions) {
  const model = await load(url, { threads: 0, ...options });
  await model.close();
  return model.info.cache;
}

test("load keeps what it downloads in a folder, if it is told so", () =>
  withServer(async (server) => {
    const place = join(folder, "models");
    assert.is(await cacheInfo(server.url, {}), undefined);
    assert.is(await cacheInfo(server.url, { cache: false }), undefined);
    assert.not.ok(existsSync(place));
    const size = FILE.length;
    assert.equal(await cacheInfo(server.url, { cache: place }), { store: place, reused: 0, fetched: size });
    assert.equal(await cacheInfo(server.url, { cache: cacheIn(place) }), { store: place, reused: size, fetched: 0 });
    const own = new DownloadCache(folderStore(place));
    assert.equal(await cacheInfo(server.url, { cache: own }), { store: place, reused: size, fetched: 0 });
    const [{ since, ...listed }] = await own.list();
    assert.equal(listed, { url: server.url.replace(/\?.*/, ""), size, stored: size, etag: '"1"', modified: undefined });
    assert.is(await own.persist(), true);
    assert.is(await own.delete(), 1);
    assert.equal(readdirSync(place), []);
  }));

test("cache: true is the usual place", () =>
  withServer(async (server) => {
    const { XDG_CACHE_HOME } = process.env;
    process.env.XDG_CACHE_HOME = folder;
    try {
      const place = defaultFolder();
      // Elsewhere the variable means nothing, and the user's own files are not a test's.
      if (!place.startsWith(folder)) return;
      assert.equal(await cacheInfo(server.url, { cache: true }), { store: place, reused: 0, fetched: FILE.length });
      assert.is((await cache.list()).length, 1);
      assert.is(await cache.delete(server.url), 1);
    } finally {
      if (XDG_CACHE_HOME === undefined) delete process.env.XDG_CACHE_HOME;
      else process.env.XDG_CACHE_HOME = XDG_CACHE_HOME;
    }
  }));

test("paths have no use for a cache; what is none is refused", async () => {
  assert.is(await cacheInfo("test/fixtures/v7.f32.gguf", { cache: join(folder, "unused") }), undefined);
  assert.not.ok(existsSync(join(folder, "unused")));
  for (const wrong of ["", 5, null, {}]) {
    const error = await load("http://127.0.0.1:9/a", { cache: wrong as string }).catch((error) => error);
    assert.is(error.code, "input");
    assert.match(error.message, /^cache must be true, false, the path of a folder or a DownloadCache/);
  }
});

test.run();
