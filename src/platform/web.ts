/** Browsers, in a page or in a page's own worker: files by URL, module workers. */

import { DownloadCache } from "../bytes/cache.ts";
import { parseUrl } from "../bytes/url.ts";
import type { Build } from "../engine/kernels.ts";
import type { OpenOptions, Platform, WorkerHandle } from "../engine/platform.ts";
import type { Reply, Request, Start } from "../engine/protocol.ts";
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import type { Assets } from "./assets.ts";
import { Death } from "./death.ts";

/** What browsers can, with the package's parts from wherever they lie. */
export const webPlatform = (assets: Assets<Worker>): Platform => ({
  name: "web",
  // Only pages that are served with the isolation headers may share memory; see docs/runtimes.md.
  sharesMemory: globalThis.crossOriginIsolated === true,
  cores: navigator.hardwareConcurrency ?? 1,
  kernels: async (build) => WebAssembly.compile(await assets.kernels(build)),
  spawn: typeof Worker === "undefined" ? undefined : () => handle(assets.worker()),
  breathe,
  open: openUrl,
  cache: new DownloadCache(async () => (await import("./web-store.ts")).webStore()),
  keeps: true,
  worldVocabulary: assets.worldVocabulary,
});

/**
 * Where the kernels are. Each URL is written out as bundlers look for them: they put such files beside what they make.
 */
const KERNELS: Readonly<Record<Build, () => URL>> = {
  plain: () => new URL("./kernels/plain.wasm", import.meta.url),
  relaxed: () => new URL("./kernels/relaxed.wasm", import.meta.url),
  "plain-threads": () => new URL("./kernels/plain-threads.wasm", import.meta.url),
  "relaxed-threads": () => new URL("./kernels/relaxed-threads.wasm", import.meta.url),
};

/** With the package's parts as files beside this one. */
export const platform: Platform = /* @__PURE__ */ webPlatform({
  kernels: (build) => download(KERNELS[build]()),
  worker: () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "rwkv" }),
  worldVocabulary: async () => new Uint8Array(await download(new URL("../weights/world.vocab", import.meta.url))),
});

/** What the host needs of a worker that was just started. */
function handle(worker: Worker): WorkerHandle {
  const death = new Death();
  worker.addEventListener("error", (event) => death.happened(event.message || "its script could not be loaded"));
  return {
    post: (message: Start | Request, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) => worker.addEventListener("message", ({ data }) => listener(data as Reply)),
    onDeath: (listener) => death.onDeath(listener),
    hold: () => {},
    terminate: () => worker.terminate(),
  };
}

/** A message to oneself comes back after everything that waits; timers would be held back to 4 ms. */
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/** A URL, or one relative to the page. */
async function openUrl(where: string | URL, { cache, ...options }: OpenOptions = {}): Promise<Source> {
  const url = parseUrl(where, globalThis.location?.href) ?? where;
  // What is kept here need not be kept once more by the browser.
  if (cache) return cache.open(url, { ...options, requestCache: "no-store" });
  return (await import("../bytes/http.ts")).httpSource(url, options);
}

async function download(url: URL): Promise<ArrayBuffer> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new RwkvError("network", `${url.href} could not be fetched: ${(cause as Error).message}.`, { cause });
  }
  if (!response.ok)
    throw new RwkvError("network", `${url.href} could not be fetched: the server answered ${response.status}.`);
  return await response.arrayBuffer();
}
