/** Where a browser keeps downloads: the best that it has here. */
import { type BlockStore, memoryStore } from "../bytes/store.ts";
import { cacheStorageStore } from "./cache-storage.ts";
import { opfsStore } from "./opfs.ts";

/** Files, else CacheStorage, else the page's memory: private windows and pages without https have neither of the others. */
export async function webStore(): Promise<BlockStore> {
  for (const open of [opfsStore, cacheStorageStore]) {
    const store = await open().catch(() => undefined);
    if (store) return store;
  }
  return memoryStore();
}
