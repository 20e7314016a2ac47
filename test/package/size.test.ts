// Budgets: what a page has to fetch, in bytes as gzip leaves them.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { scan } from "../rules/scan.ts";

const gzipped = (path: string) => gzipSync(readFileSync(path), { level: 9 }).length;

/** An entry of dist/ and all files that it imports, those it imports later not among them. */
function statically(entry: string): string[] {
  const files = new Set([`dist/${entry}`]);
  for (const path of files)
    for (const { text, dynamic } of scan(path).imports)
      if (text.startsWith("./") && !dynamic) files.add(`dist/${text.slice(2)}`);
  return [...files];
}

const sum = (paths: string[]) => paths.reduce((total, path) => total + gzipped(path), 0);

for (const entry of ["index.js", "web.js"])
  test(`${entry}, with what it imports, is below 25 kB`, () => {
    const files = statically(entry);
    const size = sum(files);
    console.log(`${entry}: ${size} bytes in ${files.length} files`);
    assert.ok(size < 25_000, `${files.join(", ")}: ${size} bytes`);
    // Each is a request, if a small one.
    assert.ok(files.length <= 20, files.join(", "));
  });

for (const name of readdirSync("dist/kernels"))
  test(`${name} is below 60 kB`, () => {
    const size = gzipped(`dist/kernels/${name}`);
    console.log(`${name}: ${size} bytes`);
    assert.ok(size < 60_000, `${size} bytes`);
  });

test("a page that runs a GGUF file fetches less than 98 kB of code and kernels", () => {
  const later = statically("web.js").flatMap((path) => scan(path).imports.filter(({ dynamic }) => dynamic));
  const names = later.map(({ text }) => text.slice(2));
  const needed = ["http", "cached", "web-store", "gguf-open", "rwkv7", "world", "model", "load"].map(
    (start) => names.find((name) => name.startsWith(`${start}-`))!,
  );
  const files = new Set(["web.js", "worker.js", ...needed].flatMap(statically));
  const size = sum([...files, "dist/kernels/relaxed-threads.wasm"]);
  console.log(`to run a GGUF file: ${size} bytes`);
  assert.ok(size < 98_000, `${size} bytes`);
});

test.run();
