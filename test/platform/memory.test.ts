// What reading a large file takes besides the file: pieces go through memory that is used again, whatever they come from.
import { closeSync, createReadStream, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { node } from "../../scripts/program.ts";
import { rangeOf, type Server, serve } from "../bytes/server.ts";

/** So much that all of it could not stay. */
const SIZE = 320 << 20;
/** MB. */
const MOST = 60;
const folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
const file = join(folder, "model.gguf");
let server: Server;

test.before(async () => {
  // A file that is all hole: it takes no space, and reads as zeros.
  const opened = openSync(file, "w");
  ftruncateSync(opened, SIZE);
  closeSync(opened);
  server = await serve((request, response) => {
    const [from, to] = rangeOf(request, SIZE);
    response.writeHead(206, { "Content-Range": `bytes ${from}-${to - 1}/${SIZE}`, "Content-Length": to - from });
    createReadStream(file, { start: from, end: to - 1 }).pipe(response);
  });
});
test.after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

for (const kind of ["path", "blob", "url"]) {
  test(`reading by ${kind} takes a bounded amount of memory`, async () => {
    const where = kind === "url" ? server.url : file;
    const { output, code } = await node("scripts/run.mjs", ["test/platform/reading.ts", kind, where], 120);
    assert.is(code, 0, output);
    const grown = Number(output.trim().split("\n").at(-1));
    assert.ok(grown < MOST, `${grown} MB`);
  });
}

test.run();
