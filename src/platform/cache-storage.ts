/** CacheStorage as a store, for browsers whose files cannot be written: each file is a response under an address that nobody has. */
import { type BlockStore, noRoom } from "../bytes/store.ts";
import { persist, room } from "./opfs.ts";

const CACHE = "rwkv-wasm";
const BASE = "https://rwkv-wasm.invalid/";

/** `undefined` where there is none. */
export async function cacheStorageStore(): Promise<BlockStore | undefined> {
  if (!globalThis.caches) return undefined;
  const cache = await caches.open(CACHE);
  const all = async () => (await cache.keys()).map(({ url }) => url.slice(BASE.length).split("/") as [string, string]);
  const urlOf = (entry: string, file: string) => `${BASE}${entry}/${file}`;
  return {
    name: "CacheStorage",
    entries: async () => [...new Set((await all()).map(([entry]) => entry))],
    async files(entry) {
      const sizes = new Map<string, number>();
      for (const [own, file] of await all()) {
        const response = own === entry && (await cache.match(urlOf(entry, file)));
        if (response) sizes.set(file, Number(response.headers.get("Content-Length")));
      }
      return sizes;
    },
    async read(entry, file) {
      const response = await cache.match(urlOf(entry, file));
      return response && new Uint8Array(await response.arrayBuffer());
    },
    async write(entry, file, bytes, create) {
      if (!create && !(await all()).some(([own]) => own === entry)) throw new Error(`${entry} was deleted`);
      const response = new Response(bytes, { headers: { "Content-Length": String(bytes.length) } });
      await cache.put(urlOf(entry, file), response).catch((error: Error) => {
        // Firefox's name for it.
        throw error.name === "NS_ERROR_FILE_NO_DEVICE_SPACE" ? noRoom("quota exceeded") : error;
      });
    },
    async delete(entry) {
      for (const [own, file] of await all()) if (own === entry) await cache.delete(urlOf(entry, file));
    },
    room,
    persist,
  };
}
