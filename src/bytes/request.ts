/** One HTTP request for a file or a range of it: asks, and checks that the answer is what was asked for. */
import { isByteStream } from "./reuse.ts";
import { publicUrl, statusText } from "./url.ts";

/** What a server said about the file, with the body still to be read. */
export interface Answer {
  /** Whether the body is the range that was asked for. If not, it is the whole file. */
  readonly ranged: boolean;
  /** Where the body's first byte lies in the file, and where it ends; without `end`, where it ends will tell. */
  readonly start: number;
  readonly end?: number;
  /** The whole file's size, if the server says it. */
  readonly size?: number;
  /** ETag and time of the last change, where there are. */
  readonly etag: string | null;
  readonly modified: string | null;
  /** What kind of file the server takes it for. */
  readonly type: string | null;
  readonly body: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Whether the body's chunks are nobody else's. */
  readonly own: boolean;
}

/**
 * Why a request failed, and what to do: ask `again` (after `wait` milliseconds, if the server says so), `stop`, or ask for
 * the `whole` file because this server's ranges cannot be used.
 */
export class Failure extends Error {
  readonly status: number | undefined;
  readonly wait: number | undefined;

  constructor(
    readonly advice: "again" | "stop" | "whole",
    message: string,
    { status, wait }: { status?: number; wait?: number } = {},
  ) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

/**
 * Asks for the bytes from `range[0]` to before `range[1]`, or for everything. Redirects are followed by `fetch`, which
 * leaves out the header `Authorization` when they lead to another origin.
 *
 * Rejects with `Failure`.
 */
export async function ask(
  url: URL,
  headers: Headers,
  range: readonly [from: number, to: number] | undefined,
  signal: AbortSignal,
  cache?: RequestCache,
): Promise<Answer> {
  const sent = new Headers(headers);
  if (range) {
    sent.set("Range", `bytes=${range[0]}-${range[1] - 1}`);
    // Compressed bytes would be counted differently. Browsers see to that themselves, and ignore this.
    sent.set("Accept-Encoding", "identity");
  }
  let response: Response;
  try {
    response = await fetch(url, { headers: sent, signal, ...(cache && { cache }) });
  } catch (cause) {
    const why = reason(cause);
    // Redirects that lead in a circle do so again. Not every runtime says that it was this.
    throw new Failure(/redirect/i.test(why) ? "stop" : "again", why);
  }
  return judge(response, range);
}

function judge(response: Response, range: readonly [from: number, to: number] | undefined): Answer {
  const { status, headers } = response;
  const facts = {
    etag: headers.get("ETag"),
    modified: headers.get("Last-Modified"),
    type: headers.get("Content-Type"),
    own: response.body !== null && isByteStream(response.body),
    body: response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined,
  };
  const fail = (advice: Failure["advice"], message: string) => new Failure(advice, message, { status });
  const encoded = !/^(identity)?$/i.test(headers.get("Content-Encoding") ?? "");
  const length = encoded ? undefined : number(headers.get("Content-Length"));

  // Not every runtime decompresses what it did not ask for.
  if (status === 200 && range && encoded) throw fail("whole", "the server sends a compressed file");
  if (status === 200) return { ...facts, ranged: false, start: 0, end: length, size: length };
  if (status === 206 && range) {
    const said = headers.get("Content-Range");
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/i.exec(said ?? "") ?? [];
    // Not said at all, hidden from a page of another origin, of unknown size, or counted in compressed bytes.
    if (!total && (said === null || /^bytes \d+-\d+\/\*$/i.test(said)))
      throw fail("whole", "the server does not say which range it sends (Content-Range)");
    if (encoded) throw fail("whole", "the server sends a range of a compressed file");
    const [start, end, size] = [Number(first), Number(last) + 1, Number(total)];
    if (!total || start !== range[0] || end <= start || end > size || !Number.isSafeInteger(size))
      throw fail("stop", `the server was asked for ${sent(range)} and says that it sends "${short(said)}"`);
    if (length !== undefined && length !== end - start)
      throw fail("stop", `the server says that it sends "${short(said)}", but in ${length} bytes`);
    return { ...facts, ranged: true, start, end, size };
  }
  // An empty file has no first byte to ask for.
  if (status === 416 && range?.[0] === 0 && /^bytes \*\/0$/i.test(headers.get("Content-Range") ?? ""))
    return { ...facts, ranged: true, start: 0, end: 0, size: 0, body: undefined };

  const answered = `the server answered ${statusText(response)}`;
  if (status === 429 || status >= 500)
    throw new Failure("again", answered, { status, wait: retryAfter(headers.get("Retry-After")) });
  throw fail("stop", answered + advice(status, headers));
}

const sent = ([from, to]: readonly [from: number, to: number]): string => `"bytes ${from}-${to - 1}"`;
const short = (text: string | null): string => (text ?? "").slice(0, 100);

/** A count as a header gives it. */
function number(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** What may help, for answers that users meet. */
function advice(status: number, headers: Headers): string {
  if (status === 401 || status === 403)
    return `; if the file exists, it needs a token: give it as headers: { Authorization: "Bearer …" }`;
  if (status === 404 || status === 410) return "; is the address right?";
  if (status === 416)
    return `; the file may have become shorter (${short(headers.get("Content-Range")) || "no size given"})`;
  return "";
}

/** `Retry-After` in milliseconds: it counts seconds, or names a time. */
function retryAfter(text: string | null): number | undefined {
  if (text === null) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Why `fetch` or a body failed. Node hides the reason in `cause`; some runtimes print the URL with its query. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const code = (cause as { code?: unknown } | undefined)?.code;
  const inner = cause instanceof Error ? cause.message || String(code ?? "") : "";
  const text = inner ? `${error.message} (${inner})` : error.message;
  return text.slice(0, 500).replace(/https?:\/\/[^\s"'()]+/gi, (url) => {
    try {
      return publicUrl(url);
    } catch {
      return "…";
    }
  });
}
