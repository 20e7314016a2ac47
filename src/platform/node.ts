/** Node, Deno and Bun: files by path, workers from `node:worker_threads`. */

import { open, readFile, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { checkRange, closedSource } from "../bytes/source.ts";
import type { Platform, WorkerHandle } from "../engine/platform.ts";
import type { Reply, Request, Start } from "../engine/protocol.ts";
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";

export const platform: Platform = {
  name: "node",
  sharesMemory: true,
  cores: availableParallelism(),
  kernels: async (build) => WebAssembly.compile(await readFile(new URL(`./kernels/${build}.wasm`, import.meta.url))),
  spawn,
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
  open: openFile,
};

function spawn(): WorkerHandle {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { name: "rwkv" });
  let told = false;
  worker.unref();
  return {
    post: (message: Start | Request, transfer) => worker.postMessage(message, transfer),
    onMessage: (listener) => void worker.on("message", (reply: Reply) => listener(reply)),
    onDeath: (listener) => {
      let first = true;
      const die = (reason: string) => {
        if (!told && first) listener(reason);
        first = false;
      };
      worker.on("error", (error) => die(error instanceof Error ? error.message : String(error)));
      worker.on("exit", (code) => die(`it ended with code ${code}`));
    },
    hold: (yes) => (yes ? worker.ref() : worker.unref()),
    terminate: () => {
      told = true;
      void worker.terminate();
    },
  };
}

async function openFile(where: string | URL): Promise<Source> {
  const text = String(where);
  if (/^https?:/i.test(text)) {
    throw new RwkvError("unsupported", `${text}: this version reads files, not web addresses. Download it first.`);
  }
  const path = /^file:/i.test(text) ? fileURLToPath(text) : text;
  let file: Awaited<ReturnType<typeof open>>;
  let size: number;
  try {
    const facts = await stat(path);
    if (facts.isDirectory()) throw new RwkvError("input", `${path} is a directory, not a weights file.`);
    size = facts.size;
    file = await open(path);
  } catch (error) {
    if (error instanceof RwkvError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT" ? "there is no such file" : code === "EACCES" ? "it may not be read" : (error as Error).message;
    throw new RwkvError("input", `${path} cannot be opened: ${why}.`, { cause: error });
  }
  let closed = false;
  const source: Source = {
    name: path,
    size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      if (closed) throw closedSource(path);
      checkRange(source, offset, length);
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0) {
          throw new RwkvError(
            "weights",
            `${path} ended at byte ${offset + at} while it was being read: it became shorter.`,
          );
        }
        at += bytesRead;
      }
      return bytes;
    },
    async close() {
      if (closed) return;
      closed = true;
      await file.close();
    },
  };
  return source;
}
