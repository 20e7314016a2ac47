// A program that is ended in mid-download, and two that download the same file at once: what is in the folder stays sound.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheIn, load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { rangeOf, sendRange, serve } from "../bytes/server.ts";

const PATH = "weights/stories-7m.q8_0.gguf";
const FILE = new Uint8Array(readFileSync(PATH));

const whole = await load(PATH, { threads: 0 });
const { fingerprint } = whole.info;
await whole.close();

const folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
test.after(() => rmSync(folder, { recursive: true }));

/** A program that loads the file and prints the fingerprint. */
function start(url: string, place: string) {
  const program = `
    import { load } from "rwkv-wasm";
    const model = await load(${JSON.stringify(url)}, { threads: 0, cache: ${JSON.stringify(place)} });
    console.log(model.info.fingerprint);
    await model.close();`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program]);
  let output = "";
  child.stdout.on("data", (data) => {
    output += data;
  });
  child.stderr.on("data", (data) => {
    output += data;
  });
  const ended = new Promise<string>((resolve) => child.on("close", () => resolve(output.trim())));
  return { child, ended };
}

test("a program that is killed loses nothing that was stored", async () => {
  const place = join(folder, "killed");
  const cache = cacheIn(place);
  // The last megabyte never comes.
  let silent = true;
  const server = await serve((request, response) => {
    const [from, to] = rangeOf(request, FILE.length);
    const end = silent ? Math.min(to, FILE.length - (1 << 20)) : to;
    if (end === to) return sendRange(request, response, FILE, { ETag: '"1"' });
    response.writeHead(206, { "Content-Range": `bytes ${from}-${to - 1}/${FILE.length}`, ETag: '"1"' });
    if (end > from) response.write(FILE.subarray(from, end));
  });
  try {
    const { child, ended } = start(server.url, place);
    const stored = async () => (await cache.list())[0]?.stored ?? 0;
    while ((await stored()) < 6 << 20) {
      assert.is(child.exitCode, null, "it ended before it was killed");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    child.kill("SIGKILL");
    assert.is(await ended, "");
    silent = false;
    const kept = await stored();
    const model = await load(server.url, { threads: 0, cache });
    await model.close();
    assert.is(model.info.fingerprint, fingerprint);
    assert.equal(model.info.cache, { store: place, reused: kept, fetched: FILE.length - kept });
  } finally {
    await server.close();
  }
});

test("two programs at once", async () => {
  const place = join(folder, "two");
  const server = await serve((request, response) => sendRange(request, response, FILE, { ETag: '"1"' }));
  try {
    const programs = [start(server.url, place), start(server.url, place)];
    for (const { ended } of programs) assert.is(await ended, fingerprint);
    const model = await load(server.url, { threads: 0, cache: place });
    await model.close();
    assert.is(model.info.fingerprint, fingerprint);
    assert.equal(model.info.cache, { store: place, reused: FILE.length, fetched: 0 });
  } finally {
    await server.close();
  }
});

test.run();
