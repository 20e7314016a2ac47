/** Texts remembered in this browser: in IndexedDB, one for each model, by the model's fingerprint. */

import type { Saved } from "./story.ts";

const STORE = "texts";

/** Ends when everything that was begun here is done. */
let last: Promise<unknown> = Promise.resolve();
export const idle = async (): Promise<void> => void (await last);

/** One thing after the other: what is forgotten must not be remembered again by what began earlier and took longer. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const done = last.then(work);
  last = done.catch(() => {});
  return done;
}

/** One operation on the store, in a transaction of its own; done when that is, so that a page which is left then loses nothing. */
async function withStore<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const opening = indexedDB.open("rwkv-wasm-page", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  try {
    const transaction = database.transaction(STORE, mode);
    const request = work(transaction.objectStore(STORE));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    return request.result;
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

/** `save` is asked when it is its turn, and may say by then that there is nothing to remember. */
export const remember = (model: string, save: () => Promise<Saved | undefined>): Promise<void> =>
  inTurn(async () => {
    const text = await save();
    if (text) await withStore("readwrite", (store) => store.put(text, model));
  });

export const recall = (model: string): Promise<Saved | undefined> =>
  inTurn(() => withStore<Saved | undefined>("readonly", (store) => store.get(model)));

export const forget = (model: string): Promise<unknown> =>
  inTurn(() => withStore("readwrite", (store) => store.delete(model)));

export const forgetAll = (): Promise<unknown> => inTurn(() => withStore("readwrite", (store) => store.clear()));
