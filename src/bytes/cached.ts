/**
 * Downloads that are kept for the next time, in blocks: a read takes the blocks it needs from the store, and those that are
 * not there from the web, from where they go into the store. So a download that was broken off goes on where it was, and one
 * that is complete costs a request of one byte, which asks whether the file has changed.
 *
 * Nothing needs a lock. An entry belongs to one version of one URL, its name is made of both, and each block is written as a
 * whole, so that two programs which keep the same file at the same time write the same. Each block ends with a checksum; one
 * that is damaged counts as not there. What fails while storing never fails a read.
 */
import { RwkvError } from "../errors.ts";
import type { CacheReport, Source } from "../types.ts";
import type { CachedDownload } from "./cache.ts";
import { hex8, xxhash32 } from "./hash.ts";
import { checkUrl, type HttpFile, type HttpOptions, httpSource, isMissing, probe, type Version } from "./http.ts";
import { hubUrl, isHubName } from "./hub.ts";
import { room } from "./reuse.ts";
import { checkRange, closedSource } from "./source.ts";
import { type BlockStore, isNoRoom, noRoom } from "./store.ts";
import { checkFileName, parseUrl, publicUrl } from "./url.ts";
import { unlessAborted } from "./wait.ts";

export interface CachedOptions extends HttpOptions {
  /** The URL stands for the same bytes for ever: what is kept of it is used without asking. */
  immutable?: boolean;
  /** Told in a sentence why a file is not kept, or that a copy is used because the server cannot be reached. */
  onWarning?: (message: string) => void;
  /** @internal Bytes of a block; for tests. */
  block?: number;
}

const BLOCK = 2 << 20;
/** Blocks held in memory for reads that step back, and on their way into the store. */
const HELD = 4;
const WRITING = 2;
/** The form of what is written here; what has another one is not used. */
const FORMAT = 1;
const META = "meta";

/** What an entry says of itself. */
interface Meta extends Version {
  readonly format: number;
  readonly url: string;
  readonly size: number;
  readonly block: number;
  readonly since: string;
}

/** An entry's name: of which address, with which query, and which version. */
interface Entry {
  readonly name: string;
  readonly path: string;
  readonly query: string;
  readonly meta: Meta;
}

/** What one call of `load` opens, the files beside the first one included: its options, and what became of it. */
class Work {
  readonly report: { -readonly [key in keyof CacheReport]: CacheReport[key] } = {
    store: "none",
    reused: 0,
    fetched: 0,
  };
  store: BlockStore | undefined;
  /** False after a failure: what is there is still read. */
  keeps = true;

  constructor(readonly options: CachedOptions) {}

  async start(openStore: () => Promise<BlockStore>): Promise<void> {
    try {
      this.store = await openStore();
      this.report.store = this.store.name;
    } catch (error) {
      this.fail("failed", (error as Error).message);
    }
  }

  /** Says why something is not kept; once. */
  fail(problem: NonNullable<CacheReport["problem"]>, message: string): void {
    if (this.report.problem) return;
    this.report.problem = problem;
    this.options.onWarning?.(`Not everything is kept for the next time: ${message}.`);
  }

  /** Nothing more is kept. */
  failWriting(error: Error): void {
    const name = this.report.store;
    if (isNoRoom(error)) this.fail("full", `${name} has no room (${error.message})`);
    else this.fail("failed", `${name} cannot be written: ${error.message}`);
    this.keeps = false;
  }
}

/** Opens a URL. Errors are those of `httpSource`. */
export async function openCached(
  openStore: () => Promise<BlockStore>,
  where: string | URL,
  options: CachedOptions,
): Promise<Source> {
  const url = checkUrl(where);
  if (!/^https?:$/.test(url.protocol)) return httpSource(url, options);
  const work = new Work(options);
  await work.start(openStore);
  return open(work, url, options.signal);
}

async function open(work: Work, url: URL, signal?: AbortSignal): Promise<Source> {
  const options = { ...work.options, signal };
  const path = await digest(addressOf(url));
  const query = await digest(url.search);
  const known = await entriesOf(work, path);
  const own = known.find((entry) => entry.query === query);
  let entry: Entry | undefined;
  if (own && options.immutable) entry = own;
  else if (known.length > 0) {
    const now = await probe(url, options);
    // A query that changes each time, such as a signature, need not mean another file.
    entry = now ? known.find(({ meta }) => isSame(meta, now)) : own;
    if (!now && own)
      options.onWarning?.(`${publicUrl(url)} cannot be asked whether it has changed; what was kept of it is used.`);
  }
  if (entry) return new CachedSource(work, url, entry);
  const origin = await httpSource(url, options);
  // What a network wants to be told before it lets anybody through must not cost what is kept.
  if (origin.isPage) return new CachedSource(work, url, undefined, origin);
  for (const old of known) if (old.query === query) await work.store?.delete(old.name).catch(() => {});
  return new CachedSource(work, url, await create(work, url, path, query, origin), origin);
}

/** A URL without what may change or be secret. */
const addressOf = (url: URL): string => publicUrl(url).replace(/\?…$/, "");

/** What is kept of an address, in all versions and with all queries, newest first. */
async function entriesOf(work: Work, path: string): Promise<Entry[]> {
  const { store, options } = work;
  if (!store) return [];
  try {
    const found = await entries(store, (name) => name.startsWith(`${path}-`));
    return found.filter(({ meta }) => meta.block === (options.block ?? BLOCK));
  } catch (error) {
    work.fail("failed", `${store.name} cannot be read: ${(error as Error).message}`);
    return [];
  }
}

async function entries(store: BlockStore, wanted: (name: string) => boolean): Promise<Entry[]> {
  const found: Entry[] = [];
  for (const name of await store.entries()) {
    const [path, query] = name.split("-");
    if (!path || !query || !wanted(name)) continue;
    const meta = parseMeta(await store.read(name, META).catch(() => undefined));
    if (meta) found.push({ name, path, query, meta });
  }
  return found.sort((a, b) => Date.parse(b.meta.since) - Date.parse(a.meta.since));
}

function parseMeta(bytes: Uint8Array | undefined): Meta | undefined {
  try {
    const meta = JSON.parse(new TextDecoder().decode(bytes));
    const { format, url, size, block, since, etag, modified } = meta;
    const isText = (value: unknown) => value === undefined || typeof value === "string";
    const sound =
      format === FORMAT &&
      typeof url === "string" &&
      Number.isSafeInteger(size) &&
      size >= 0 &&
      block > 0 &&
      isText(etag);
    return sound && isText(modified) && !Number.isNaN(Date.parse(since)) ? meta : undefined;
  } catch {
    return undefined;
  }
}

/** Makes an entry for what the server has now. `undefined` when it is not to be kept. */
async function create(work: Work, url: URL, path: string, query: string, file: HttpFile): Promise<Entry | undefined> {
  const { store, options } = work;
  const { size, version } = file;
  const { etag, modified } = version;
  if (!store || !work.keeps) return undefined;
  if (!etag && !modified && !options.immutable) {
    work.fail(
      "unversioned",
      `the server of ${publicUrl(url)} gives neither ETag nor Last-Modified, by which a change would show`,
    );
    return undefined;
  }
  const meta: Meta = {
    format: FORMAT,
    url: addressOf(url),
    size,
    etag,
    modified,
    block: options.block ?? BLOCK,
    since: new Date().toISOString(),
  };
  const name = `${path}-${query}-${await digest(JSON.stringify([etag ?? modified, size]))}`;
  try {
    const left = await store.room?.();
    if (left !== undefined && left < size) throw noRoom(`${left} bytes are left, ${size} are needed`);
    await store.write(name, META, new TextEncoder().encode(JSON.stringify(meta)), true);
    return { name, path, query, meta };
  } catch (error) {
    work.failWriting(error as Error);
    return undefined;
  }
}

/** Whether both are of the same version of the file, as far as both say. */
function isSame(a: Version & { size?: number }, b: Version & { size?: number }): boolean {
  if (a.size !== undefined && b.size !== undefined && a.size !== b.size) return false;
  if (a.etag || b.etag) return a.etag === b.etag;
  return a.modified !== undefined && a.modified === b.modified;
}

/** A short name that tells nothing of the text, which may hold a secret. */
async function digest(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  // Pages that did not come over https have no cryptography, and nothing that outlives them either.
  if (!globalThis.crypto?.subtle) return [1, 2, 3].map((seed) => hex8(xxhash32(bytes, seed))).join("");
  const hash = new DataView(await crypto.subtle.digest("SHA-256", bytes));
  return [0, 4, 8].map((at) => hex8(hash.getUint32(at))).join("");
}

/**
 * A block as it is stored is followed by a checksum over it, which depends on the block's number. Here it is in memory, as many of
 * which are used again and again: what is left to the garbage collector piles up before it is collected.
 */
class Block {
  /** Settles when the bytes are here. */
  bytes: Promise<Uint8Array> = Promise.reject(new Error("nothing was read"));
  /** Who needs the buffer: readers, the one who fills it, the one who stores it, and the list of those held. */
  users = 1;

  constructor(readonly buffer: ArrayBuffer) {
    this.bytes.catch(() => {});
  }
}

const CHECKSUM = 4;

/** Puts the checksum behind the bytes. Answers both. */
function sealed(bytes: Uint8Array<ArrayBuffer>, index: number): Uint8Array<ArrayBuffer> {
  const { buffer, length } = bytes;
  new DataView(buffer).setUint32(length, xxhash32(bytes, index), true);
  return new Uint8Array(buffer, 0, length + CHECKSUM);
}

/** The bytes before the checksum, if it is right. */
function unsealed(file: Uint8Array | undefined, index: number, length: number): Uint8Array | undefined {
  if (file?.length !== length + CHECKSUM) return undefined;
  const bytes = file.subarray(0, length);
  const said = new DataView(file.buffer, file.byteOffset + length).getUint32(0, true);
  return xxhash32(bytes, index) === said ? bytes : undefined;
}

class CachedSource implements Source {
  readonly name: string;
  readonly size: number;
  readonly cache: CacheReport;
  readonly #work: Work;
  readonly #url: URL;
  readonly #entry: Entry | undefined;
  readonly #block: number;
  readonly #life = new AbortController();
  #origin: Promise<HttpFile> | undefined;
  /** Blocks that were read last, oldest first. */
  readonly #held = new Map<number, Block>();
  readonly #spent: ArrayBuffer[] = [];
  readonly #counted = new Set<number>();
  readonly #writes = new Set<Promise<void>>();
  /** Blocks are read one after the other, in the order of the reads: a server is asked for what follows, not hither and thither. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(work: Work, url: URL, entry: Entry | undefined, origin?: HttpFile) {
    this.name = publicUrl(url);
    this.size = entry?.meta.size ?? origin!.size;
    this.cache = work.report;
    this.#work = work;
    this.#url = url;
    this.#entry = entry;
    this.#block = entry?.meta.block ?? work.options.block ?? BLOCK;
    this.#origin = origin && Promise.resolve(origin);
  }

  async read(
    offset: number,
    length: number,
    signal?: AbortSignal,
    into?: ArrayBuffer,
  ): Promise<Uint8Array<ArrayBuffer>> {
    signal?.throwIfAborted();
    this.#life.signal.throwIfAborted();
    checkRange(this, offset, length);
    const bytes = room(length, into);
    for (let done = 0; done < length; ) {
      const block = this.#take(Math.floor((offset + done) / this.#block));
      try {
        const whole = await unlessAborted(block.bytes, signal);
        const piece = whole.subarray((offset + done) % this.#block).subarray(0, length - done);
        bytes.set(piece, done);
        done += piece.length;
      } finally {
        this.#release(block);
      }
    }
    return bytes;
  }

  async sibling(name: string, signal?: AbortSignal): Promise<Source | undefined> {
    this.#life.signal.throwIfAborted();
    checkFileName(name, this.name);
    try {
      return await open(this.#work, new URL(encodeURIComponent(name), this.#url), signal);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#life.signal.aborted) return;
    this.#life.abort(closedSource(this.name));
    const origin = await this.#origin?.catch(() => undefined);
    await origin?.close();
    await this.#turn;
    await Promise.all(this.#writes);
    this.#held.clear();
    this.#spent.length = 0;
  }

  /** A block, for a reader who will release it. */
  #take(index: number): Block {
    let block = this.#held.get(index);
    if (!block) {
      const fresh = new Block(this.#spent.pop() ?? new ArrayBuffer(this.#block + CHECKSUM));
      fresh.users++;
      fresh.bytes = this.#turn.then(() => this.#load(index, fresh));
      this.#turn = fresh.bytes.then(
        () => this.#release(fresh),
        () => {
          if (this.#held.get(index) === fresh) {
            this.#held.delete(index);
            this.#release(fresh);
          }
          this.#release(fresh);
        },
      );
      block = fresh;
    }
    // Now it is the youngest.
    this.#held.delete(index);
    this.#held.set(index, block);
    block.users++;
    if (this.#held.size > HELD) {
      const [oldest, gone] = this.#held.entries().next().value!;
      this.#held.delete(oldest);
      this.#release(gone);
    }
    return block;
  }

  #release(block: Block): void {
    if (--block.users === 0) this.#spent.push(block.buffer);
  }

  async #load(index: number, block: Block): Promise<Uint8Array> {
    this.#life.signal.throwIfAborted();
    const { store, report } = this.#work;
    const name = this.#entry?.name;
    const file = String(index);
    const start = index * this.#block;
    const length = Math.min(this.#block, this.size - start);
    const fresh = !this.#counted.has(index);
    this.#counted.add(index);
    const kept = store && name ? await store.read(name, file, block.buffer).catch(() => undefined) : undefined;
    const stored = unsealed(kept, index, length);
    if (stored) {
      if (fresh) report.reused += length;
      return stored;
    }
    if (this.#writes.size >= WRITING) await Promise.race(this.#writes);
    const origin = await this.#web(start);
    const read = await origin.read(start, length, this.#life.signal, block.buffer);
    const bytes = new Uint8Array(block.buffer, 0, length);
    if (read.buffer !== block.buffer) bytes.set(read);
    if (fresh) report.fetched += length;
    if (store && name && this.#work.keeps) this.#keep(block, store.write(name, file, sealed(bytes, index)));
    return bytes;
  }

  #keep(block: Block, write: Promise<void>): void {
    block.users++;
    const writing = write
      .catch((error) => this.#work.failWriting(error))
      .finally(() => {
        this.#writes.delete(writing);
        this.#release(block);
      });
    this.#writes.add(writing);
  }

  /** The file on the web, opened when the first block is missing. */
  #web(offset: number): Promise<HttpFile> {
    this.#origin ??= this.#connect(offset).catch((error) => {
      this.#origin = undefined;
      throw error;
    });
    return this.#origin;
  }

  async #connect(offset: number): Promise<HttpFile> {
    const { options } = this.#work;
    const file = await httpSource(this.#url, { ...options, signal: this.#life.signal, from: offset });
    const { meta } = this.#entry!;
    const changed = file.size !== meta.size || (!options.immutable && !isSame(meta, file.version));
    if (!changed) return file;
    await file.close();
    throw new RwkvError("network", `${this.name} changed on the server while it was being read; load it again`);
  }
}

export async function listCached(store: BlockStore): Promise<CachedDownload[]> {
  return attempt(store, "read", async () => {
    const list = await entries(store, () => true);
    return Promise.all(
      list.map(async ({ name, meta }) => {
        const { url, size, block, etag, modified, since } = meta;
        const files = await store.files(name);
        let stored = 0;
        for (let at = 0; at < size; at += block) {
          const bytes = Math.min(block, size - at);
          if (files.get(String(at / block)) === bytes + CHECKSUM) stored += bytes;
        }
        return { url, size, stored, etag, modified, since: new Date(since) };
      }),
    );
  });
}

export async function deleteCached(store: BlockStore, where?: string | URL): Promise<number> {
  let prefix = "";
  if (where !== undefined) {
    const url = isHubName(String(where)) ? hubUrl(String(where)) : parseUrl(where, globalThis.location?.href);
    if (!url) throw new RwkvError("input", `"${String(where).slice(0, 200)}" is not a URL`);
    prefix = `${await digest(addressOf(url))}-`;
    if (url.search) prefix += `${await digest(url.search)}-`;
  }
  return attempt(store, "deleted", async () => {
    const doomed = (await store.entries()).filter((name) => name.startsWith(prefix));
    for (const name of doomed) await store.delete(name);
    return doomed.length;
  });
}

async function attempt<T>(store: BlockStore, what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new RwkvError("input", `What ${store.name} keeps cannot be ${what}: ${(cause as Error).message}`, { cause });
  }
}
