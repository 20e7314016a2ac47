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
export const webPlatform = (assets: Assets<Worker | Promise<Worker>>): Platform => ({
  name: "web",
  // Only pages that are served with the isolation headers may share memory; see docs/runtimes.md.
  sharesMemory: globalThis.crossOriginIsolated === true,
  cores: navigator.hardwareConcurrency ?? 1,
  kernels: async (build) => compile(await assets.kernels(build)),
  spawn: typeof Worker === "undefined" ? undefined : () => spawn(assets),
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
  worker: () =>
    foreignWorker() ?? new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "rwkv" }),
  worldVocabulary: async () => new Uint8Array(await download(new URL("../weights/world.vocab", import.meta.url))),
});

/** The workers' script as a Blob; it is kept, as nothing says when the last worker has read it. */
let script: Promise<string> | undefined;

/**
 * Browsers start workers from their page's own origin only: for pages that take this file from elsewhere, the script is fetched. Bundlers
 * must not find its URL here, as what they make has the script in another place; some (webpack) put a `file:` URL, of where this file was
 * when they read it, in the place of `import.meta.url`.
 */
function foreignWorker(): Promise<Worker> | undefined {
  const here = import.meta.url;
  const url = new URL("./worker.js", here);
  if (!/^https?:$/.test(url.protocol) || url.origin === globalThis.location?.origin) return undefined;
  script ??= download(url).then((bytes) => URL.createObjectURL(new Blob([bytes], { type: "text/javascript" })));
  script.catch(() => {
    script = undefined;
  });
  return script.then((blob) => new Worker(blob, { type: "module", name: "rwkv" }));
}

async function compile(bytes: BufferSource): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw new RwkvError(
      "unsupported",
      `The kernels could not be compiled: ${(cause as Error).message}. If the page has a Content-Security-Policy, its script-src needs 'wasm-unsafe-eval'.`,
      { cause },
    );
  }
}

function spawn(assets: Assets<Worker | Promise<Worker>>): WorkerHandle {
  try {
    const worker = assets.worker();
    return worker instanceof Promise ? handleLater(worker) : handle(worker);
  } catch (error) {
    // Some browsers say at once what others say later.
    return handleLater(Promise.reject(new Error(`${REFUSED} (${(error as Error).message})`)));
  }
}

/** Why a worker's script may be refused. Browsers do not say. */
const REFUSED =
  "its script could not be loaded; it has to be there, be allowed by the page's Content-Security-Policy (worker-src, script-src), and come with the same isolation headers as the page";

/** What the host needs of a worker that was just started. */
function handle(worker: Worker): WorkerHandle {
  const death = new Death();
  worker.addEventListener("error", (event) => death.happened(event.message || REFUSED));
  return {
    post: (message: Start | Request, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) => worker.addEventListener("message", ({ data }) => listener(data as Reply)),
    onDeath: (listener) => death.onDeath(listener),
    hold: () => {},
    terminate: () => worker.terminate(),
  };
}

/** The same of one that is still to be started. */
function handleLater(worker: Promise<Worker>): WorkerHandle {
  const death = new Death();
  const later = worker.then(handle);
  const then = (work: (handle: WorkerHandle) => void) => void later.then(work, () => {});
  later.then(
    (started) => started.onDeath((reason) => death.happened(reason)),
    (error: Error) => death.happened(error.message),
  );
  return {
    post: (message, transfer) => then((started) => started.post(message, transfer)),
    onMessage: (listener) => then((started) => started.onMessage(listener)),
    onDeath: (listener) => death.onDeath(listener),
    hold: () => {},
    terminate: () => then((started) => started.terminate()),
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
