// Reads a file to its end in pieces of a megabyte, as loading does, and prints by how many MB the process grew meanwhile.
//   reading.ts path|url|blob WHERE
import { openAsBlob } from "node:fs";
import { blobSource } from "../../src/bytes/source.ts";
import { platform } from "../../src/platform/node.ts";

const [kind, where] = process.argv.slice(2);
const source = kind === "blob" ? blobSource(await openAsBlob(where), platform.tidy) : await platform.open(where);
const PIECE = 1 << 20;
let into = new ArrayBuffer(PIECE);
const before = process.memoryUsage.rss();
let most = before;
for (let at = 0; at < source.size; at += PIECE) {
  into = (await source.read(at, Math.min(PIECE, source.size - at), undefined, into)).buffer;
  most = Math.max(most, process.memoryUsage.rss());
}
await source.close();
console.log((most - before) / 1e6);
process.exit(0);
