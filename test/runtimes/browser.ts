// Chromium as a runtime: the repository is served on this machine, and a page runs a module of it.
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import sirv from "sirv";
import type { Finished } from "../../scripts/program.ts";

export interface Site {
  /** `http://127.0.0.1:port` */
  url: string;
  close(): Promise<void>;
}

/**
 * Serves the repository's root, range requests included. `isolated`: with the headers that make a page
 * cross-origin isolated, without which browsers give out no shared memory.
 */
export async function serve(isolated: boolean): Promise<Site> {
  const files = sirv(".", { dev: true });
  const server = createServer((request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    if (pathname !== "/page") return files(request, response);
    response.setHeader("Content-Type", "text/html");
    response.end(`<!doctype html><link rel="icon" href="data:,"><script type="module" src="${searchParams.get("run")}"
      onerror="console.error('the module, or one it imports, could not be loaded')"></script>`);
  });
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

/** Where Chromium is installed, if it is. */
export function findChromium(): string | undefined {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
}

/** Starts Chromium, without window, sandbox (it runs our own pages only) or talk to its makers' hosts. */
export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * Runs a module of a site in a new page, until uvu has printed its summary, something is thrown or the time is over
 * (`limit`, seconds). What the page prints is the output.
 */
export async function runInPage(browser: Browser, site: Site, file: string, limit: number): Promise<Finished> {
  const started = performance.now();
  const context = await browser.newContext();
  const page = await context.newPage();
  let output = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const code = await new Promise<number | null>((resolve) => {
    page.on("console", (message) => {
      output += `${message.text()}\n`;
      if (/^ *Duration: /m.test(message.text())) resolve(0);
      if (message.text().startsWith("the module, or one")) resolve(1);
    });
    page.on("pageerror", (error) => {
      output += `${error.stack ?? error.message}\n`;
      resolve(1);
    });
    page.on("crash", () => {
      output += "the page crashed\n";
      resolve(1);
    });
    timer = setTimeout(() => resolve(null), limit * 1000);
    page.goto(`${site.url}/page?run=${encodeURIComponent(`/${file}`)}`).catch((error: Error) => {
      output += `${error.message}\n`;
      resolve(1);
    });
  });
  clearTimeout(timer);
  await context.close();
  return { output, code, timedOut: code === null, seconds: (performance.now() - started) / 1000 };
}
