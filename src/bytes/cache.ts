/** The cache of downloads as users have it in hand. What it does is in cached.ts, which is loaded when it is first used. */
import type { Source } from "../types.ts";
import type { CachedOptions } from "./cached.ts";
import type { BlockStore } from "./store.ts";

/** A download that is kept, or the part of it that has come so far. */
export interface CachedDownload {
  /** Without its query, which may be secret. */
  readonly url: string;
  /** Bytes of the file, and how many of them are kept. */
  readonly size: number;
  readonly stored: number;
  /** What the server calls this version of the file, and when it was made, as far as it says. */
  readonly etag?: string;
  readonly modified?: string;
  /** When its download began. */
  readonly since: Date;
}

/** Downloads that are kept for the next time. `load(url, { cache })` fills it; docs/sources.md says how. */
export class DownloadCache {
  readonly #open: () => Promise<BlockStore>;
  #store: Promise<BlockStore> | undefined;

  /** `store`: where to keep them, or what opens that when it is first needed. */
  constructor(store: BlockStore | (() => Promise<BlockStore>)) {
    this.#open = typeof store === "function" ? store : async () => store;
  }

  /** What is kept, newest first. Rejects with `RwkvError` "input" when the place cannot be read. */
  async list(): Promise<CachedDownload[]> {
    const { listCached } = await import("./cached.ts");
    return listCached(await this.store());
  }

  /**
   * Deletes what is kept of a URL (or `hf:` name; one without a query stands for all queries), or everything. Answers how many files of the web that
   * was. A model that is being loaded meanwhile is read from the web again. Rejects with `RwkvError` "input" for an unusable
   * URL, and when something cannot be deleted.
   */
  async delete(url?: string | URL): Promise<number> {
    const { deleteCached } = await import("./cached.ts");
    return deleteCached(await this.store(), url);
  }

  /**
   * Asks the browser not to clear what is kept when disks fill up, and answers whether it will. Firefox asks the user: call it
   * when they have just clicked on something that says so.
   */
  async persist(): Promise<boolean> {
    return (await (await this.store()).persist?.()) ?? false;
  }

  /** Opens a URL: what is kept comes from here, the rest is downloaded and kept. */
  async open(url: string | URL, options: CachedOptions = {}): Promise<Source> {
    const { openCached } = await import("./cached.ts");
    return openCached(() => this.store(), url, options);
  }

  /** Where downloads are kept. */
  store(): Promise<BlockStore> {
    this.#store ??= this.#open().catch((error) => {
      this.#store = undefined;
      throw error;
    });
    return this.#store;
  }
}
