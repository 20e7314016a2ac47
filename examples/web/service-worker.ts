/**
 * Does two things. Keeps the page for visits without a network: all its files are stored when it is installed, and answered from
 * there; models are kept by the library. Adds the headers that make the page cross-origin isolated, without which browsers give out no shared memory, for hosts that
 * cannot send them.
 */

/** What TypeScript's library for pages does not know of service workers. */
interface Scope {
  readonly registration: { readonly active: unknown; readonly scope: string };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Waiting) => void): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetching) => void): void;
}
interface Waiting extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Waiting {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
const scope = self as unknown as Scope;

/** Set by the build: the page's files, and names that change with their contents. */
declare const FILES: string[];
declare const CACHE: string;
/** What all caches of this page begin with, of older versions too. */
declare const PREFIX: string;

const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};
/** What needs them. */
const ISOLATED = ["document", "worker", "sharedworker"];

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("message", ({ data }) => {
  if (data === "take over") void scope.skipWaiting();
});
scope.addEventListener("fetch", (event) => {
  const { url, method, destination } = event.request;
  const file = url.slice(scope.registration.scope.length).replace(/[?#].*/, "") || "./";
  const ours = url.startsWith(scope.registration.scope) && method === "GET";
  // Downloads of models need neither, so they do not take the way through here.
  if (ours && (FILES.includes(file) || ISOLATED.includes(destination))) event.respondWith(answer(event.request));
});

async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  // "no-cache": what the browser has of an older version must not get into this one.
  await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
  // A newer version waits until nobody uses the older one, or the page is told to reload.
  if (!scope.registration.active) await scope.skipWaiting();
}

async function activate(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  // Pages that are open already are left as they are: to claim them, Firefox waits for their workers too, and those of a team of
  // threads sleep in WebAssembly.
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: request.mode === "navigate", ignoreVary: true });
  const response = kept ?? (await fetch(request));
  // Not to be looked into, so not to be copied.
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
