/** Texts remembered in this browser: in IndexedDB, one for each model, by the model's fingerprint. */

import type { Saved } from "./story.ts";

const STORE = "texts";

/** One operation on the store, in a transaction of its own. */
async function withStore<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const opening = indexedDB.open("rwkv-wasm-page", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  try {
    return await settled(work(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export const remember = (model: string, text: Saved): Promise<unknown> =>
  withStore("readwrite", (store) => store.put(text, model));

export const recall = (model: string): Promise<Saved | undefined> =>
  withStore<Saved | undefined>("readonly", (store) => store.get(model));

export const forget = (model: string): Promise<unknown> => withStore("readwrite", (store) => store.delete(model));

export const forgetAll = (): Promise<unknown> => withStore("readwrite", (store) => store.clear());
