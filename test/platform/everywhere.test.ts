// Opening files and downloads in the other runtimes, which have `fetch`, streams and Node's modules of their own.
import { test } from "uvu";
import { rerun } from "../runtimes/rerun.ts";

await rerun([
  "api/files",
  "bytes/http",
  "bytes/cached",
  "bytes/stream",
  "platform/files",
  "platform/folder-store",
  "platform/load",
]);

test.run();
