/**
 * Makes pages cross-origin isolated, without which browsers give out no shared memory, on hosts that cannot send the headers for it.
 * One classic script in two places: a page that includes it, `<script src="isolation.js"></script>`, registers it as its service
 * worker and reloads once; as a service worker it adds the headers to pages and to workers' scripts on their way. Everything else is
 * left alone. It has to lie at or above the pages it is for, on their own origin.
 */

export {}; // a module to TypeScript; as it is built, a script

/** What TypeScript's library for pages does not know of service workers. */
interface Scope {
  skipWaiting(): Promise<void>;
  addEventListener(
    type: "install",
    listener: (event: Event & { waitUntil(work: Promise<unknown>): void }) => void,
  ): void;
  addEventListener(type: "fetch", listener: (event: Fetching) => void): void;
}
interface Fetching extends Event {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

const HEADERS = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
/** What needs them. */
const KINDS = ["document", "iframe", "frame", "worker", "sharedworker"];
/** Set while it is tried, so that a browser which does not do it is not reloaded again and again. */
const TRIED = "rwkv-wasm: isolation was tried";

if (typeof document === "undefined") serve(self as unknown as Scope);
else void isolate((document.currentScript as HTMLScriptElement).src);

function serve(scope: Scope): void {
  scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
  scope.addEventListener("fetch", (event) => {
    if (KINDS.includes(event.request.destination)) event.respondWith(answer(event.request));
  });
}

async function answer(request: Request): Promise<Response> {
  const response = await fetch(request);
  // A redirect, or something that may not be looked into.
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

async function isolate(script: string): Promise<void> {
  if (crossOriginIsolated) return sessionStorage.removeItem(TRIED);
  // Without https there are no service workers; a frame is as isolated as what is around it.
  if (!navigator.serviceWorker || window !== window.top) return;
  if (sessionStorage.getItem(TRIED))
    return console.warn("This page is not cross-origin isolated, and could not be made so.");
  try {
    const registration = await navigator.serviceWorker.register(script);
    if (!location.href.startsWith(registration.scope)) {
      await registration.unregister();
      throw new Error(
        `${script} serves pages below ${registration.scope} only; put a copy of it where this page is, or above`,
      );
    }
    const worker = registration.active ?? registration.waiting ?? registration.installing!;
    if (worker.state !== "activated")
      await new Promise<void>((resolve, reject) => {
        worker.addEventListener("statechange", () => {
          if (worker.state === "activated") resolve();
          if (worker.state === "redundant") reject(new Error("the service worker could not be installed"));
        });
      });
    sessionStorage.setItem(TRIED, "yes");
    location.reload();
  } catch (error) {
    console.warn(`This page could not be made cross-origin isolated: ${(error as Error).message}`);
  }
}
