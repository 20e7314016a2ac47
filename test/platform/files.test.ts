// Files and folders by path, in Node and in what has its modules.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fileSource } from "../../src/platform/files.ts";
import { refused } from "../refused.ts";

const BYTES = Uint8Array.from({ length: 100 }, (_, i) => i);
let folder: string;

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
});
test.after.each(() => rmSync(folder, { recursive: true }));

/** Writes files, and opens the folder. */
function open(...names: string[]) {
  for (const name of names) writeFileSync(join(folder, name), BYTES);
  return fileSource(folder);
}

test("reads a file by path, by URL and by a URL's text", async () => {
  const path = join(folder, "a model#1.gguf");
  writeFileSync(path, BYTES);
  for (const where of [path, pathToFileURL(path), pathToFileURL(path).href]) {
    const source = await fileSource(where);
    assert.is(source.name, path);
    assert.is(source.size, 100);
    const piece = await source.read(98, 2);
    assert.equal(piece, Uint8Array.of(98, 99));
    assert.is(piece.buffer.byteLength, 2);
    assert.equal(await source.read(0, 100), BYTES);
    assert.equal(await source.read(100, 0), new Uint8Array(0));
    await refused(source.read(99, 2), "weights", /byte 99/, /100 bytes/);
    await source.close();
    await source.close();
    await refused(source.read(0, 1), "closed", /a model#1\.gguf/);
  }
});

test("reads at the same time do not disturb each other", async () => {
  writeFileSync(join(folder, "a.gguf"), BYTES);
  const source = await fileSource(join(folder, "a.gguf"));
  const pieces = await Promise.all(Array.from({ length: 20 }, (_, i) => source.read(i * 5, 5)));
  assert.equal(
    pieces.flatMap((piece) => [...piece]),
    [...BYTES],
  );
  await source.close();
});

test("reads into memory that threads share, at the same time, and nothing beside it", async () => {
  writeFileSync(join(folder, "a.gguf"), BYTES);
  const source = await fileSource(join(folder, "a.gguf"));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const bytes = new Uint8Array(memory.buffer, 1000, 200);
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => source.readInto!(i * 5, bytes.subarray(50 + i * 5, 55 + i * 5))),
  );
  assert.equal([...bytes], [...new Uint8Array(50), ...BYTES, ...new Uint8Array(50)]);
  await refused(source.readInto!(99, bytes.subarray(0, 2)), "weights", /byte 99/, /100 bytes/);
  const reason = new Error("enough");
  const aborted = source.readInto!(0, bytes, AbortSignal.abort(reason));
  assert.is(await aborted.catch((error) => error), reason);
  truncateSync(join(folder, "a.gguf"), 50);
  await refused(source.readInto!(40, bytes.subarray(0, 20)), "weights", /ended at byte 50/);
  await source.close();
  await refused(source.readInto!(0, bytes.subarray(0, 1)), "closed");
});

test("says in a sentence why a file cannot be opened", async () => {
  await refused(fileSource(join(folder, "none.gguf")), "input", /none\.gguf cannot be opened: there is no such file$/);
  writeFileSync(join(folder, "a"), "");
  await refused(fileSource(join(folder, "a", "b.gguf")), "input", /b\.gguf cannot be opened: a part of its path/);
  await refused(fileSource(join(folder, "x".repeat(300))), "input", /its name is too long$/);
  await refused(fileSource(`${folder}/a\0b`), "input", /cannot be opened/);
  await refused(fileSource("file://elsewhere.example/a.gguf"), "input", /no URL of a file here/);
});

test("a file that may not be read", async () => {
  const path = join(folder, "a.gguf");
  writeFileSync(path, BYTES);
  chmodSync(path, 0);
  // Whoever may do everything can read it all the same.
  if (process.getuid?.() === 0) await (await fileSource(path)).close();
  else await refused(fileSource(path), "input", /a\.gguf cannot be opened: it may not be read$/);
});

test("what is not a file is refused without being opened", async () => {
  await refused(fileSource("/dev/zero"), "input", /is a device, not a file/);
});

test("a file that becomes shorter while it is read", async () => {
  const path = join(folder, "a.gguf");
  writeFileSync(path, BYTES);
  const source = await fileSource(path);
  truncateSync(path, 50);
  await refused(source.read(40, 20), "weights", /a\.gguf ended at byte 50 .*shorter/);
  await source.close();
});

test("an abort rethrows its reason", async () => {
  const path = join(folder, "a.gguf");
  writeFileSync(path, BYTES);
  const signal = AbortSignal.abort("enough");
  const source = await fileSource(path);
  for (const promise of [fileSource(path, signal), source.read(0, 1, signal)])
    assert.is(await promise.catch((error) => error), "enough");
  await source.close();
});

const folders: [files: string[], principal: string][] = [
  [["model.gguf"], "model.gguf"],
  [["RWKV.PTH", "config.json", "README.md"], "RWKV.PTH"],
  [["model.safetensors", "pytorch_model.bin"], "model.safetensors"],
  [["model.safetensors.index.json", "model.safetensors", "a.gguf"], "model.safetensors.index.json"],
  [
    ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
    "model.safetensors.index.json",
  ],
];
for (const [files, principal] of folders)
  test(`a folder with ${files.join(", ")} stands for ${principal}`, async () => {
    const source = await open(...files);
    assert.is(source.name, join(folder, principal));
    await source.close();
  });

test("a folder's file may be a link, and a folder within is no file", async () => {
  writeFileSync(join(folder, "data"), BYTES);
  symlinkSync(join(folder, "data"), join(folder, "model.gguf"));
  mkdirSync(join(folder, "other.gguf"));
  const source = await open();
  assert.is(source.name, join(folder, "model.gguf"));
  assert.is(source.size, 100);
  await source.close();
});

test("a folder without one weights file says what it holds, up to ten names", async () => {
  await refused(open(), "input", /without a weights file .*it holds no files$/);
  await refused(open("README.md"), "input", /it holds README\.md$/);
  await refused(open("b.gguf", "a.pth"), "input", /several weights files \(a\.pth, b\.gguf\); name the one/);
  const many = Array.from({ length: 14 }, (_, i) => `${String.fromCharCode(97 + i)}.bin`);
  await refused(open(...many), "input", /and 6 more\)/);
});

test("opens files beside the file, not beyond", async () => {
  const source = await open("model.gguf");
  writeFileSync(join(folder, "tokenizer.json"), "{}");
  mkdirSync(join(folder, "sub"));
  const beside = await source.sibling!("tokenizer.json");
  assert.is(beside!.size, 2);
  assert.is(beside!.name, join(folder, "tokenizer.json"));
  assert.is(await source.sibling!("none.json"), undefined);
  await refused(source.sibling!("sub"), "input", /sub is a folder, not a file/);
  for (const name of ["../model.gguf", "sub/../tokenizer.json", "..", ".", "", "/etc/passwd", "a\\b", "a\0b"])
    await refused(source.sibling!(name), "weights", /model\.gguf refers to .*not the name of a file beside it/);
  const signal = AbortSignal.abort("enough");
  assert.is(await source.sibling!("tokenizer.json", signal).catch((error) => error), "enough");
  await beside!.close();
  await source.close();
  await refused(source.sibling!("tokenizer.json"), "closed", /model\.gguf/);
});

test.run();
