// A web server on this machine that does what a test tells it to, and remembers what it was asked for.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  path: string;
  range: string | undefined;
  headers: IncomingMessage["headers"];
}

export interface Server {
  /** `http://127.0.0.1:port/model.gguf?token=secret`: what a message may show ends at the question mark. */
  url: string;
  asked: Asked[];
  close(): Promise<void>;
}

/** `count`: how many requests came before. */
export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export async function serve(handler: Handler): Promise<Server> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const { url = "", headers } = request;
    asked.push({ path: url, range: headers.range, headers });
    handler(request, response, asked.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.gguf?token=secret`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** First byte asked for, and where to end. */
export function rangeOf(request: IncomingMessage, size: number): [from: number, to: number] {
  const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  if (from === undefined) throw new Error(`unexpected range ${request.headers.range}`);
  return [Number(from), Math.min(Number(last) + 1, size)];
}

export type Headers = Record<string, string | number>;

/** Answers a range as a good server does. `headers` replace the right ones; an empty one is left out. */
export function sendRange(request: IncomingMessage, response: ServerResponse, file: Uint8Array, headers: Headers = {}) {
  const [from, to] = rangeOf(request, file.length);
  head(response, 206, {
    "Content-Range": `bytes ${from}-${to - 1}/${file.length}`,
    "Content-Length": to - from,
    ...headers,
  });
  response.end(file.subarray(from, to));
}

/** Answers with the whole file. */
export function sendAll(response: ServerResponse, file: Uint8Array, headers: Headers = {}) {
  head(response, 200, { "Content-Length": file.length, ...headers });
  response.end(file);
}

/** Starts the same answer as `sendRange` or `sendAll`, and breaks the connection after `count` bytes of the body. */
export function breakAfter(
  count: number,
  request: IncomingMessage,
  response: ServerResponse,
  file: Uint8Array,
  ranged = true,
) {
  const [from, to] = ranged ? rangeOf(request, file.length) : [0, file.length];
  head(response, ranged ? 206 : 200, {
    ...(ranged && { "Content-Range": `bytes ${from}-${to - 1}/${file.length}` }),
    "Content-Length": to - from,
  });
  // Later, because a client may lose what came just before.
  response.write(file.subarray(from, from + count), () => setTimeout(() => response.socket?.destroy(), 100));
}

function head(response: ServerResponse, status: number, headers: Headers) {
  response.writeHead(status, Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== "")));
}
