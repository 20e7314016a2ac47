/**
 * Cloudflare's workerd: one thread, no workers, and WebAssembly only as modules that are imported, since nothing may be compiled
 * from bytes. Weights come by URL, or as what a binding gives: a Response, a stream, bytes.
 */

import { DownloadCache } from "../bytes/cache.ts";
import { memoryStore } from "../bytes/store.ts";
import { parseUrl } from "../bytes/url.ts";
import type { OpenOptions, Platform } from "../engine/platform.ts";
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { worldVocabulary } from "./embedded.ts";
// Beside dist/workerd.js, and for those who deploy it to find: wrangler uploads what is imported so.
import plain from "./kernels/plain.wasm";
import relaxed from "./kernels/relaxed.wasm";

export const platform: Platform = {
  name: "workerd",
  sharesMemory: false,
  cores: 1,
  kernels: async (build) => (build === "relaxed" ? relaxed : plain),
  breathe: () => new Promise((resolve) => setTimeout(resolve, 0)),
  open,
  // Only for as long as the isolate lives, and a small part of its memory.
  cache: new DownloadCache(async () => memoryStore(32 << 20)),
  keeps: false,
  worldVocabulary,
};

async function open(where: string | URL, { cache, ...options }: OpenOptions = {}): Promise<Source> {
  const url = parseUrl(where);
  if (!url || !/^https?:$/.test(url.protocol))
    throw new RwkvError(
      "unsupported",
      `"${where}" is no http: or https: URL, and workerd has no files: give the Response of a binding, such as \`await env.ASSETS.fetch(…)\`.`,
    );
  if (cache) return cache.open(url, options);
  return (await import("../bytes/http.ts")).httpSource(url, options);
}
