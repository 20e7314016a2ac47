/**
 * A file on a web server, read by range requests, with nothing but `fetch`.
 *
 * A model is read mostly front to back in pieces of a megabyte and less, and a request for each would take longer than
 * the data. So a request asks for more than is wanted now, twice as much each time as long as reads follow one another;
 * its body is taken as reads need it, and what came last is kept, for reads that step back. A read elsewhere starts a new
 * request, small again. Connections that break are taken up where they broke off. A server without ranges sends the whole
 * file, which is then kept in memory.
 */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { Blocks } from "./blocks.ts";
import { type Answer, ask, Failure, reason } from "./request.ts";
import { Chunks, room } from "./reuse.ts";
import { checkRange, closedSource } from "./source.ts";
import { checkFileName, parseUrl, publicUrl } from "./url.ts";
import { pause, unlessAborted, within } from "./wait.ts";

export interface HttpOptions {
  /** Sent with every request, such as `{ Authorization: "Bearer …" }`. */
  headers?: Readonly<Record<string, string>>;
  /** Ends opening. Each read has its own. */
  signal?: AbortSignal;
  /** @internal The platform's. */
  tidy?: () => void;
  /** What `fetch` is told of the browser's own cache. Default: nothing, as not every runtime takes it. */
  requestCache?: RequestCache;
  /** Where reading will begin. */
  from?: number;
  /** @internal Waits between tries, the longest silence in milliseconds, and the most held of a file; for tests. */
  pause?: typeof pause;
  silence?: number;
  most?: number;
}

/** What a server calls a version of a file, and when it was made, as far as it says. */
export interface Version {
  readonly etag?: string;
  readonly modified?: string;
}

export interface HttpFile extends Source {
  readonly version: Version;
  /** The server says that it is a web page: a login, an error, anything but a model. */
  readonly isPage: boolean;
}

/** Bytes asked for at a time: at first, and at most. Where `fetch` reads ahead of its reader, it reads that far. */
const FIRST_WINDOW = 256 << 10;
const LAST_WINDOW = 8 << 20;
/** Bytes kept behind the newest, and bytes skipped rather than starting a new request. */
const KEPT = 4 << 20;
const SKIPPED = 256 << 10;
/** Tries in a row without progress before giving up; fewer as long as the server has never answered: is it there at all? */
const TRIES = 6;
const FIRST_TRIES = 3;
/** Bytes that count as progress. */
const PROGRESS = 64 << 10;
/** Milliseconds: before the second try (doubled for each next one), the most a server may ask for, and without a byte. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 60_000;
const SILENCE = 60_000;
/** The same, where there is something to do without an answer. */
const PATIENCE = 10_000;

/**
 * Opens a URL for reading by range. One request is made: it learns the file's size and brings its first bytes.
 *
 * Errors of opening and reading: `network` when the server refuses (4xx), when tries are used up, when the file changes
 * meanwhile, or when an answer contradicts itself; `memory` for a file beyond 4 GiB on a server without ranges; `input`
 * for an unusable URL or header; the signal's reason.
 */
export async function httpSource(where: string | URL, options: HttpOptions = {}): Promise<HttpFile> {
  options.signal?.throwIfAborted();
  const url = checkUrl(where);
  const source = new HttpSource(url, headersOf(options), options);
  try {
    await source.open(options.signal);
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Throws `input` for what is no URL, or one with a user's name in it. */
export function checkUrl(where: string | URL): URL {
  const url = parseUrl(where);
  if (!url) throw new RwkvError("input", `"${String(where).slice(0, 200)}" is not a URL`);
  if (url.username || url.password)
    throw new RwkvError(
      "input",
      `${publicUrl(url)} is given with a user's name or password; pass headers: { Authorization: … } instead`,
    );
  return url;
}

/**
 * Asks for one byte of a file, to learn which version there is. `undefined` when there is no answer, or one that may be another
 * later: one try. An answer that refuses says so when the file is opened, and counts as nothing known here: `{}`.
 */
export async function probe(url: URL, options: HttpOptions): Promise<(Version & { size?: number }) | undefined> {
  const { signal, requestCache, silence = PATIENCE } = options;
  const controller = new AbortController();
  const headers = headersOf(options);
  const late = () => new Failure("again", "no answer");
  try {
    for (const range of [[0, 1] as const, undefined]) {
      try {
        const asked = ask(url, headers, range, controller.signal, requestCache);
        const { etag, modified, size } = await within(silence, unlessAborted(asked, signal), late);
        return { etag: etag ?? undefined, modified: modified ?? undefined, size };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        if (error.advice === "again") return undefined;
        if (error.advice === "stop") return {};
      }
    }
    return {};
  } finally {
    controller.abort();
  }
}

/** Whether the server said that there is no such file. */
export const isMissing = (error: unknown): boolean =>
  error instanceof RwkvError &&
  error.cause instanceof Failure &&
  (error.cause.status === 404 || error.cause.status === 410);

function headersOf({ headers }: HttpOptions): Headers {
  try {
    return new Headers(headers);
  } catch {
    // The reason would quote the header, which may hold a secret.
    throw new RwkvError("input", "headers must be an object of names and values that HTTP allows");
  }
}

/** The body that is being read. */
interface Body {
  readonly controller: AbortController;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  /** Whether its chunks are nobody else's. */
  readonly own: boolean;
  /** Offset of its next byte, and of its end if that is known. */
  at: number;
  readonly end: number | undefined;
}

class HttpSource implements HttpFile {
  readonly name: string;
  readonly sibling?: Source["sibling"];
  readonly #url: URL;
  readonly #headers: Headers;
  readonly #options: HttpOptions;
  readonly #life = new AbortController();
  /** Reads take turns, in the order of their calls. */
  #turn: Promise<unknown> = Promise.resolve();

  /** What the first answer said; `size` may come later. */
  #facts: Answer | undefined;
  #size: number | undefined;
  #whole = false;

  #held: Blocks;
  readonly #chunks: Chunks;
  /** The file's first and last bytes, once reads have left them. */
  readonly #ends: { readonly start: number; readonly bytes: Uint8Array }[] = [];
  #body: Body | undefined;
  #window = FIRST_WINDOW;
  /** Tries that failed in a row, and what came since the last one. */
  #failed = 0;
  #gained = 0;
  #answered = false;

  constructor(url: URL, headers: Headers, options: HttpOptions) {
    this.name = publicUrl(url);
    this.#url = url;
    this.#headers = headers;
    this.#options = options;
    this.#held = new Blocks(this.name, options.from, options.most);
    this.#chunks = new Chunks(options.tidy, true);
    if (/^https?:$/.test(url.protocol)) this.sibling = (name, signal) => this.#sibling(name, signal);
  }

  get size(): number {
    return this.#size ?? 0;
  }

  get isPage(): boolean {
    return /^text\/html\b/i.test(this.#facts?.type ?? "");
  }

  get version(): Version {
    const { etag, modified } = this.#facts ?? {};
    return { etag: etag ?? undefined, modified: modified ?? undefined };
  }

  async open(signal?: AbortSignal): Promise<void> {
    await this.#persist(async () => {
      this.#body ??= await this.#request(1, signal);
    }, signal);
    // Neither ranges nor a length: only the end tells how long the file is.
    while (this.#size === undefined) await this.#more(0, signal);
  }

  async read(
    offset: number,
    length: number,
    signal?: AbortSignal,
    into?: ArrayBuffer,
  ): Promise<Uint8Array<ArrayBuffer>> {
    signal?.throwIfAborted();
    this.#checkOpen();
    checkRange(this, offset, length);
    const work = this.#turn.then(() => this.#fill(offset, room(length, into), signal));
    this.#turn = work.catch(() => {});
    return unlessAborted(work, signal);
  }

  async close(): Promise<void> {
    this.#ends.length = 0;
    if (this.#life.signal.aborted) return;
    this.#life.abort(closedSource(this.name));
    this.#hangUp();
    this.#held = new Blocks(this.name);
  }

  async #sibling(name: string, signal?: AbortSignal): Promise<Source | undefined> {
    this.#checkOpen();
    checkFileName(name, this.name);
    const url = new URL(encodeURIComponent(name), this.#url);
    // A query may choose a version, or hold a token.
    url.search = this.#url.search;
    try {
      return await httpSource(url, { ...this.#options, signal, from: 0 });
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  #checkOpen(): void {
    this.#life.signal.throwIfAborted();
  }

  /** Fills `bytes` with those from `offset` on. */
  async #fill(offset: number, bytes: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    signal?.throwIfAborted();
    this.#checkOpen();
    const { length } = bytes;
    if (length === 0) return bytes;
    this.#failed = 0;
    const end = this.#ends.find(({ start, bytes: held }) => offset >= start && offset + length <= start + held.length);
    if (end) {
      bytes.set(end.bytes.subarray(offset - end.start, offset - end.start + length));
      return bytes;
    }
    if (!this.#whole && (offset < this.#held.start || offset > this.#held.end + SKIPPED))
      await this.#jump(offset, signal);
    for (let done = 0; ; ) {
      const ready = Math.min(this.#held.end - offset, length);
      if (ready > done) {
        this.#held.copy(offset + done, bytes.subarray(done, ready));
        done = ready;
      }
      if (!this.#whole) this.#held.drop(Math.min(this.#held.end - KEPT, offset + done));
      if (done === length) return bytes;
      await this.#more(offset + length, signal);
    }
  }

  /** Goes on elsewhere in the file. Its first and its last bytes are kept, since some containers are read from both ends. */
  async #jump(offset: number, signal?: AbortSignal): Promise<void> {
    const held = this.#held;
    if (held.start === 0) {
      // What was asked for first comes in any case, and the connection can be used again then.
      while (this.#body && held.end < Math.min(this.size, FIRST_WINDOW)) await this.#more(FIRST_WINDOW, signal);
      this.#keep(0, Math.min(held.end, FIRST_WINDOW));
    }
    const last = Math.max(0, this.size - FIRST_WINDOW);
    if (held.end === this.size) this.#keep(Math.max(held.start, last), this.size);
    this.#hangUp();
    const end = this.#ends.find(({ start, bytes }) => offset >= start && offset < start + bytes.length);
    held.restart(end?.start ?? Math.min(offset, last));
    if (end) held.append(end.bytes);
    this.#window = FIRST_WINDOW;
  }

  #keep(start: number, end: number): void {
    if (this.#ends.some((other) => other.start === start)) return;
    const bytes = new Uint8Array(end - start);
    this.#held.copy(start, bytes);
    this.#ends.push({ start, bytes });
  }

  /** Waits for bytes after those held, or for the end of a request. `to`: how far they are wanted now. */
  #more(to: number, signal?: AbortSignal): Promise<void> {
    return this.#persist(async () => {
      const next = this.#body ? undefined : this.#ends.find(({ start }) => start === this.#held.end);
      if (next) return this.#held.append(next.bytes);
      this.#body ??= await this.#request(to, signal);
      if (this.#body) await this.#take(this.#body, signal);
    }, signal);
  }

  /** Asks for what follows the bytes held. `undefined` when the file is empty. */
  async #request(to: number, signal?: AbortSignal): Promise<Body | undefined> {
    const from = this.#held.end;
    const controller = new AbortController();
    const limits = this.#ends.map(({ start }) => start).filter((start) => start > from);
    const end = Math.min(Math.max(to, from + this.#window), this.#size ?? Number.POSITIVE_INFINITY, ...limits);
    try {
      const range = this.#whole ? undefined : ([from, end] as const);
      const answer = await this.#wait(
        ask(this.#url, this.#headers, range, controller.signal, this.#options.requestCache),
        signal,
      );
      this.#answered = true;
      this.#accept(answer);
      const { body, own, start: at } = answer;
      if (body) return { controller, reader: body, own, at, end: answer.end };
      if (answer.end !== undefined && answer.start < answer.end) throw new Failure("again", "the answer had no body");
      this.#size = from;
      return undefined;
    } catch (error) {
      controller.abort();
      if (!(error instanceof Failure && error.advice === "whole" && !this.#facts)) throw error;
      this.#whole = true;
      return this.#request(to, signal);
    }
  }

  /** Learns from the first answer; compares the others with it. */
  #accept(answer: Answer): void {
    const first = this.#facts;
    if (!first) {
      this.#facts = answer;
      this.#size = answer.size;
      this.#whole ||= !answer.ranged;
      if (this.#whole) {
        this.#held = new Blocks(this.name, 0, this.#options.most);
        this.#held.checkSize(answer.size ?? 0);
      }
      return;
    }
    const differ = <T>(a: T, b: T) => (a ?? b) !== (b ?? a);
    const changed = (what: string, before: unknown, after: unknown) =>
      new RwkvError(
        "network",
        `${this.name} changed on the server while it was being read (its ${what} was ${before}, and is ${after}); load it again`,
      );
    if (differ(this.#size, answer.size)) throw changed("size", this.#size, answer.size);
    if (differ(first.etag, answer.etag)) throw changed("ETag", first.etag, answer.etag);
    if (!first.etag && differ(first.modified, answer.modified)) throw changed("time", first.modified, answer.modified);
    if (!this.#whole && !answer.ranged) throw new Failure("again", "the server sent the whole file instead of a range");
  }

  /** Takes the next bytes of a body. */
  async #take(body: Body, signal?: AbortSignal): Promise<void> {
    const broke = (error: unknown) => {
      throw new Failure("again", `the connection broke: ${reason(error)}`);
    };
    const { done, value } = await this.#wait(body.reader.read().catch(broke), signal);
    if (done) return this.#finish(body);
    const skipped = Math.max(0, this.#held.end - body.at);
    body.at += value.length;
    if (body.end !== undefined && body.at > body.end)
      throw new Failure("stop", "the server sent more than it announced");
    if (skipped < value.length) {
      this.#held.append(value.subarray(skipped));
      this.#gained += value.length - skipped;
    }
    this.#chunks.done(value, body.own);
  }

  #finish(body: Body): void {
    const end = body.end ?? this.#size ?? this.#held.end;
    if (body.at < end) throw new Failure("again", `the connection ended ${end - body.at} bytes too early`);
    this.#body = undefined;
    this.#size ??= end;
    this.#window = Math.min(this.#window * 2, LAST_WINDOW);
  }

  /** Does one step, and again if it fails and may succeed later. */
  async #persist(step: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await step();
      } catch (error) {
        this.#hangUp();
        signal?.throwIfAborted();
        this.#checkOpen();
        if (!(error instanceof Failure)) throw error;
        await (this.#options.pause ?? pause)(this.#nextPause(error), signal, this.#life.signal);
      }
    }
  }

  /** How long to wait before the next try, in milliseconds. Throws when there is to be none. */
  #nextPause(failure: Failure): number {
    this.#answered ||= failure.status !== undefined;
    if (this.#gained >= PROGRESS) this.#failed = 0;
    this.#gained = 0;
    this.#failed++;
    const wait = failure.wait ?? FIRST_PAUSE * 2 ** (this.#failed - 1);
    const out = this.#failed >= (this.#answered ? TRIES : FIRST_TRIES);
    if (failure.advice === "again" && !out && wait <= LONGEST_PAUSE) return wait;
    const size = this.#size === undefined ? "" : ` of ${this.#size}`;
    const more = [
      failure.wait === undefined ? "" : `, and asks to wait for ${Math.ceil(failure.wait / 1000)} seconds`,
      this.#failed === 1 ? "" : `; ${this.#failed} tries failed`,
      this.#facts ? `, at byte ${this.#held.end}${size}` : "",
      this.#answered ? "" : "; is the server there, and does it allow requests from other origins (CORS)?",
    ];
    // The cause is our own: what `fetch` throws may quote a URL with its secrets.
    throw new RwkvError("network", `${this.name} could not be read: ${failure.message}${more.join("")}`, {
      cause: failure,
    });
  }

  /** Waits for the server, but not for ever. */
  #wait<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
    const ms = this.#options.silence ?? SILENCE;
    const late = () => new Failure("again", `nothing came for ${ms / 1000} seconds`);
    return within(ms, unlessAborted(work, signal, this.#life.signal), late);
  }

  #hangUp(): void {
    this.#body?.controller.abort();
    this.#body = undefined;
  }
}
