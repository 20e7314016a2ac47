// The same model from everything that `load` takes, with the package as users get it.
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type LoadOptions, load, type ModelSource } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { rangeOf, sendAll, sendRange, serve } from "../bytes/server.ts";

const PATH = "test/fixtures/v7.f32.gguf";
const FILE = new Uint8Array(readFileSync(PATH));

/** Which weights came, as a hash. */
async function fingerprint(from: ModelSource, options: LoadOptions = {}): Promise<string> {
  const model = await load(from, { threads: 0, ...options });
  const { fingerprint } = model.info;
  await model.close();
  return fingerprint;
}

const expected = await fingerprint(PATH);

const given: Record<string, () => ModelSource> = {
  "a file: URL": () => pathToFileURL(PATH),
  "a file: URL's text": () => pathToFileURL(resolve(PATH)).href,
  "a Blob": () => new Blob([FILE]),
  "a File": () => new File([FILE], "v7.gguf"),
  "a Uint8Array": () => FILE,
  "an ArrayBuffer": () => FILE.slice().buffer,
  "a Response": () => new Response(FILE),
  "a ReadableStream": () => new Blob([FILE]).stream(),
};
for (const [kind, from] of Object.entries(given))
  test(kind, async () => assert.is(await fingerprint(from()), expected));

test("a folder", async () => {
  const folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
  try {
    copyFileSync(PATH, join(folder, "model.gguf"));
    assert.is(await fingerprint(folder), expected);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("http, in few requests, nothing of size twice", async () => {
  let bytes = 0;
  const server = await serve((request, response) => {
    const [from, to] = rangeOf(request, FILE.length);
    bytes += to - from;
    sendRange(request, response, FILE, { ETag: '"1"' });
  });
  try {
    assert.is(await fingerprint(server.url), expected);
    assert.is(await fingerprint(new URL(server.url)), expected);
    console.log(`${server.asked.length / 2} requests, ${bytes / 2} bytes of ${FILE.length}`);
    assert.ok(server.asked.length <= 2 * 6);
    assert.ok(bytes <= 2 * 1.1 * FILE.length);
  } finally {
    await server.close();
  }
});

test("http, from a server without ranges: one request", async () => {
  const server = await serve((_, response) => sendAll(response, FILE));
  try {
    assert.is(await fingerprint(server.url), expected);
    assert.is(server.asked.length, 1);
  } finally {
    await server.close();
  }
});

test("hf:, from another hub, with a token", async () => {
  const server = await serve((request, response) => sendRange(request, response, FILE));
  try {
    const headers = { Authorization: "Bearer abc" };
    const hub = new URL(server.url).origin;
    assert.is(await fingerprint("hf:owner/repo/sub/v7.gguf@v1", { hub, headers }), expected);
    assert.is(server.asked[0].path, "/owner/repo/resolve/v1/sub/v7.gguf");
    assert.is(server.asked[0].headers.authorization, "Bearer abc");
  } finally {
    await server.close();
  }
});

test("what is none of these is refused", async () => {
  for (const from of [
    undefined,
    null,
    5,
    {},
    "ftp://127.0.0.1/model.gguf",
    new URL("ftp://127.0.0.1/model.gguf"),
    "hf:model",
  ]) {
    const error = await load(from as ModelSource).catch((error) => error);
    assert.is(error.name, "RwkvError");
    assert.ok(["input", "unsupported"].includes(error.code), `${error.message}`);
  }
});

test("an abort ends loading from a server that is silent", async () => {
  const server = await serve(() => {});
  try {
    const stop = new AbortController();
    setTimeout(() => stop.abort("enough"), 20);
    assert.is(await load(server.url, { signal: stop.signal }).catch((error) => error), "enough");
  } finally {
    await server.close();
  }
});

test.run();
