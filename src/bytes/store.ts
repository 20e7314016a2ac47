/**
 * Where a cache of downloads keeps its pieces: entries with a name, and in each entry small files with a name. Every runtime
 * has something that can do this; `src/platform/` has one for browsers' files, one for CacheStorage and one for folders.
 */

/** All names are short and made of letters, digits and `-`. */
export interface BlockStore {
  /** For messages and reports. */
  readonly name: string;
  /** Names of all entries. */
  entries(): Promise<string[]>;
  /** An entry's files, and how many bytes each has; none if there is no such entry. */
  files(entry: string): Promise<Map<string, number>>;
  /**
   * A file's bytes, in an array of the caller's own; `undefined` if it is not there. With `into` they may be put at its start, and a
   * file that has no room in it counts as not there.
   */
  read(entry: string, file: string, into?: ArrayBuffer): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /**
   * Adds a file or replaces it, as a whole or not at all, also when others do the same at that moment or the program ends
   * meanwhile. `create`: makes the entry if there is none; without it, a missing entry is an error, because somebody deleted it.
   * Rejects with an error called `QuotaExceededError` when there is no room.
   */
  write(entry: string, file: string, bytes: Uint8Array<ArrayBuffer>, create?: boolean): Promise<void>;
  /** Deletes an entry, if it is there. */
  delete(entry: string): Promise<void>;
  /** Bytes for which there is room, where that can be told. */
  room?(): Promise<number | undefined>;
  /** Asks that nothing be deleted without the user's will. Answers whether that is so. */
  persist?(): Promise<boolean>;
}

/** What a store throws when there is no room. */
export const noRoom = (message: string): DOMException => new DOMException(message, "QuotaExceededError");
export const isNoRoom = (error: unknown): boolean => (error as Error | undefined)?.name === "QuotaExceededError";

/** Keeps everything in memory, up to `most` bytes: for pages that have nothing better, as long as they are open. */
export function memoryStore(most = 256 << 20): BlockStore {
  const kept = new Map<string, Map<string, Uint8Array<ArrayBuffer>>>();
  let used = 0;
  return {
    name: "memory",
    entries: async () => [...kept.keys()],
    files: async (entry) => new Map(Array.from(kept.get(entry) ?? [], ([name, bytes]) => [name, bytes.length])),
    read: async (entry, file) => kept.get(entry)?.get(file)?.slice(),
    async write(entry, file, bytes, create) {
      if (create && !kept.has(entry)) kept.set(entry, new Map());
      const files = kept.get(entry);
      if (!files) throw new Error(`${entry} was deleted`);
      const more = bytes.length - (files.get(file)?.length ?? 0);
      if (used + more > most) throw noRoom(`${most} bytes are the most that is kept in memory`);
      files.set(file, bytes.slice());
      used += more;
    },
    async delete(entry) {
      for (const bytes of kept.get(entry)?.values() ?? []) used -= bytes.length;
      kept.delete(entry);
    },
    room: async () => most - used,
    persist: async () => false,
  };
}
