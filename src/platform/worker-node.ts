/** The script of workers from `node:worker_threads`: in Node, Deno and Bun. */

import { parentPort } from "node:worker_threads";
import { connect } from "./worker.ts";

connect(
  (message, transfer) => parentPort!.postMessage(message, transfer),
  (listener) => void parentPort!.on("message", listener),
  () => new Promise<void>((resolve) => setImmediate(resolve)),
);
