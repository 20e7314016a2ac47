// Opening files and downloads in the other runtimes, which have `fetch`, streams and Node's modules of their own.
import { test } from "uvu";
import { rerun } from "../runtimes/rerun.ts";

await rerun(["bytes/http", "bytes/stream", "platform/files", "platform/load"]);

test.run();
