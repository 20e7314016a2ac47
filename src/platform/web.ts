/** Browsers, in a page or in a page's own worker: files by URL, module workers. */

import { type HttpOptions, httpSource } from "../bytes/http.ts";
import { parseUrl } from "../bytes/url.ts";
import type { Platform, WorkerHandle } from "../engine/platform.ts";
import type { Reply, Request, Start } from "../engine/protocol.ts";
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { Death } from "./death.ts";

export const platform: Platform = {
  name: "web",
  // Only pages that are served with the isolation headers may share memory; see docs/runtimes.md.
  sharesMemory: globalThis.crossOriginIsolated === true,
  cores: navigator.hardwareConcurrency ?? 1,
  kernels: async (build) =>
    WebAssembly.compile(await (await download(new URL(`./kernels/${build}.wasm`, import.meta.url))).arrayBuffer()),
  spawn: typeof Worker === "undefined" ? undefined : spawn,
  breathe,
  open: openUrl,
  worldVocabulary: async () =>
    new Uint8Array(await (await download(new URL("../weights/world.vocab", import.meta.url))).arrayBuffer()),
};

function spawn(): WorkerHandle {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "rwkv" });
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
async function openUrl(where: string | URL, signal?: AbortSignal, headers?: HttpOptions["headers"]): Promise<Source> {
  return httpSource(parseUrl(where, globalThis.location?.href) ?? where, { signal, headers });
}

async function download(url: URL): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new RwkvError("network", `${url.href} could not be fetched: ${(cause as Error).message}.`, { cause });
  }
  if (!response.ok)
    throw new RwkvError("network", `${url.href} could not be fetched: the server answered ${response.status}.`);
  return response;
}
