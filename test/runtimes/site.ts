// The repository as a web site on this machine.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import sirv from "sirv";

export interface Site {
  /** `http://127.0.0.1:port` */
  url: string;
  close(): Promise<void>;
}

/** The headers that make a page cross-origin isolated, without which browsers give out no shared memory. */
export const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Listens on a free port of this machine. */
export async function listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Site> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What a page prints, and what is thrown in it, is kept in `printed`: not every browser tells its driver. */
const SCRIPT = `
  globalThis.printed = [];
  const print = (text) => printed.push(text);
  for (const name of ["log", "info", "warn", "error"]) {
    const original = console[name].bind(console);
    console[name] = (...values) => { print(values.map(String).join(" ")); original(...values); };
  }
  const thrown = (error) => print("thrown: " + (error?.stack ? error + "\\n" + error.stack : error));
  addEventListener("error", (event) => thrown(event.error ?? event.message));
  addEventListener("unhandledrejection", (event) => thrown(event.reason));`;

/** An empty page with a script. `run`: the URL of a module, if there is one to run. */
export function html(run?: string | null): string {
  const module = `<script type="module" src="${run}" onerror="thrown('the module, or one it imports, could not be loaded')"></script>`;
  return `<!doctype html><link rel="icon" href="data:,"><script>${SCRIPT}</script>${run ? module : ""}`;
}

/** Serves the repository's root, range requests included, and at `/page?run=URL` a page that runs a module. */
export async function serve(isolated: boolean): Promise<Site> {
  const files = sirv(".", { dev: true });
  return listen((request, response) => {
    if (isolated) for (const [name, value] of Object.entries(ISOLATION)) response.setHeader(name, value);
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    if (pathname !== "/page") return files(request, response);
    response.setHeader("Content-Type", "text/html");
    response.end(html(searchParams.get("run")));
  });
}
