/** Node, Deno and Bun: files by path, workers from `node:worker_threads`. */

import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { DownloadCache } from "../bytes/cache.ts";
import type { OpenOptions, Platform, WorkerHandle } from "../engine/platform.ts";
import type { Order, Reply, Request, Start } from "../engine/protocol.ts";
import { RwkvError } from "../errors.ts";
import type { HfTokenizer, JinjaTemplate, Source } from "../types.ts";
import type { Assets } from "./assets.ts";
import { Death } from "./death.ts";
import { fileSource } from "./files.ts";

/** What Node, Deno and Bun can, with the package's parts from wherever they lie. */
export const nodePlatform = (assets: Assets<Worker>): Platform => ({
  name: "node",
  sharesMemory: true,
  cores: availableParallelism(),
  kernels: async (build) => WebAssembly.compile(await assets.kernels(build)),
  spawn: () => handle(assets.worker()),
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
  open: openAny,
  // Where the operating system wants such things.
  cache: new DownloadCache(async () => {
    const { defaultFolder, folderStore } = await import("./folder-store.ts");
    return folderStore(defaultFolder());
  }),
  keeps: false,
  cacheIn: (folder) => new DownloadCache(async () => (await import("./folder-store.ts")).folderStore(folder)),
  tidy,
  worldVocabulary: assets.worldVocabulary,
  hfTokenizer,
  jinja,
});

/** With the package's parts as files beside this one. */
export const platform: Platform = /* @__PURE__ */ nodePlatform({
  kernels: (build) => readFile(new URL(`./kernels/${build}.wasm`, import.meta.url)),
  // Without the program's own options to Node, of which some are not for workers (`--input-type`) and some slow their start.
  worker: () => new Worker(new URL("./worker.node.js", import.meta.url), { name: "rwkv", execArgv: [] }),
  worldVocabulary: async () => new Uint8Array(await readFile(new URL("../weights/world.vocab", import.meta.url))),
});

/** What the host needs of a worker that was just started. */
export function handle(worker: Worker): WorkerHandle {
  const death = new Death();
  worker.on("error", (error) => death.happened(error instanceof Error ? error.message : String(error)));
  worker.on("exit", (code) => death.happened(`it ended with code ${code}`));
  worker.unref();
  return {
    post: (message: Start | Request | Order, transfer) => worker.postMessage(message, transfer),
    onMessage: (listener) => void worker.on("message", (reply: Reply) => listener(reply)),
    onDeath: (listener) => death.onDeath(listener),
    hold: (yes) => (yes ? worker.ref() : worker.unref()),
    terminate: () => {
      death.expect();
      void worker.terminate();
    },
  };
}

async function hfTokenizer(): Promise<HfTokenizer> {
  try {
    return (await import("@huggingface/tokenizers")).Tokenizer;
  } catch (cause) {
    throw new RwkvError(
      "unsupported",
      "a tokenizer.json needs the package @huggingface/tokenizers: npm install @huggingface/tokenizers",
      { cause },
    );
  }
}

async function jinja(): Promise<JinjaTemplate> {
  try {
    return (await import("@huggingface/jinja")).Template;
  } catch (cause) {
    throw new RwkvError(
      "unsupported",
      "A chat template in Jinja needs the package @huggingface/jinja: npm install @huggingface/jinja",
      { cause },
    );
  }
}

/** A path, a `file:` URL or a web address. */
async function openAny(where: string | URL, { cache, ...options }: OpenOptions = {}): Promise<Source> {
  const text = String(where);
  if (/^https?:/i.test(text)) {
    if (cache) return cache.open(text, { ...options, tidy });
    return (await import("../bytes/http.ts")).httpSource(text, { ...options, tidy });
  }
  const scheme = where instanceof URL ? where.protocol : /^[a-z][a-z0-9+.-]+:(?=\/\/)/i.exec(text)?.[0];
  if (scheme && !/^file:$/i.test(scheme))
    throw new RwkvError(
      "unsupported",
      `"${scheme}" addresses are not read here; give a path, or a file:, http: or https: URL`,
    );
  return fileSource(where, options.signal);
}

/**
 * What comes over a network leaves a buffer of 64 kB behind for every 64 kB, of which 60 to 100 MB pile up. Bun can be asked to collect
 * them. V8 counts a buffer when it is made: a large one makes it look for garbage, and as nobody touches it, it takes no memory itself.
 */
function tidy(): void {
  if ("bun" in process.versions) {
    (globalThis as unknown as { Bun: { gc(now: boolean): void } }).Bun.gc(true);
    return;
  }
  try {
    new ArrayBuffer(96 << 20);
  } catch {
    // Where there is no room for it, garbage is looked for anyway.
  }
}
