// WebKit as Debian packages it, driven through its WebDriver, on a screen that exists only in memory. As much of it as the tests use.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import type { Browser, Context, Page } from "./browsers.ts";

const LIBRARIES = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
/** Seconds in which the driver has to answer, a script to end; generous, it only ends what hangs. */
const PATIENCE = 300;

/** What this program started; none may outlive it. */
const started = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of started) child.kill();
});

/** Each context is a driver and a browser of its own, with storage that ends with it. */
export async function launchWebKit(driver: string): Promise<Browser> {
  const binary = ["4.1", "6.0"]
    .map((version) => `${LIBRARIES}/webkit2gtk-${version}/MiniBrowser`)
    .find((path) => existsSync(path));
  if (!binary) throw new Error("MiniBrowser, which comes with Debian's WebKit, is missing");
  const screen = await startScreen();
  const contexts = new Set<Context>();
  return {
    async createBrowserContext() {
      const port = await freePort();
      const child = spawn(driver, [`--port=${port}`], {
        // The sandbox wants a desktop's services; only our own pages are run.
        env: {
          ...process.env,
          DISPLAY: screen.display,
          WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1",
          NO_AT_BRIDGE: "1",
        },
        stdio: "ignore",
      });
      started.add(child);
      const url = `http://127.0.0.1:${port}`;
      await eventually(() => fetch(`${url}/status`));
      const capabilities = { "webkitgtk:browserOptions": { binary, args: ["--automation"] } };
      const { sessionId } = (await command(`${url}/session`, { capabilities: { alwaysMatch: capabilities } })) as {
        sessionId: string;
      };
      const session = `${url}/session/${sessionId}`;
      const context: Context = {
        newPage: pagesOf(session),
        async close() {
          contexts.delete(context);
          await command(session);
          await end(child);
        },
      };
      contexts.add(context);
      return context;
    },
    async close() {
      for (const context of contexts) await context.close();
      await end(screen.child);
    },
  };
}

/** Opens windows of a session. */
function pagesOf(session: string): Context["newPage"] {
  /** A driver looks at one window at a time. */
  let turn: Promise<unknown> = Promise.resolve();
  let fresh = true;
  const inWindow = <T>(handle: string, work: () => Promise<T>): Promise<T> => {
    const done = turn.then(async () => {
      await command(`${session}/window`, { handle });
      return work();
    });
    turn = done.catch(() => {});
    return done;
  };
  const pageOf = (handle: string): Page => ({
    goto: (url) => inWindow(handle, () => command(`${session}/url`, { url })),
    // Promises are waited for by the page, so that other windows get their turn meanwhile.
    evaluate: async (script) => {
      const id = `answer${Math.random().toString(36).slice(2)}`;
      const start = `Promise.resolve().then(() => (${script}))
        .then((value) => { globalThis.${id} = { value }; }, (error) => { globalThis.${id} = { error: String(error) }; });`;
      await inWindow(handle, () => command(`${session}/execute/sync`, { script: start, args: [] }));
      for (const end = performance.now() + PATIENCE * 1000; performance.now() < end; ) {
        const look = { script: `return globalThis.${id}`, args: [] };
        const answer = (await inWindow(handle, () => command(`${session}/execute/sync`, look))) as {
          value?: unknown;
          error?: string;
        } | null;
        if (answer?.error !== undefined) throw new Error(answer.error);
        if (answer) return answer.value;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`a script did not end: ${script}`);
    },
    close: () => inWindow(handle, () => command(`${session}/window`)),
  });
  return async () => {
    // The first one is there already.
    if (fresh) {
      fresh = false;
      return pageOf((await command(`${session}/window`, undefined, "GET")) as string);
    }
    const { handle } = (await command(`${session}/window/new`, { type: "tab" })) as { handle: string };
    return pageOf(handle);
  };
}

/** Sends a command; without a body, it deletes. */
async function command(url: string, body?: object, method = body ? "POST" : "DELETE"): Promise<unknown> {
  const response = await fetch(url, {
    method,
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE * 1000),
  });
  const { value } = (await response.json()) as { value: { message?: string } | null };
  if (!response.ok) throw new Error(`WebDriver: ${value?.message ?? response.status}`);
  return value;
}

async function startScreen(): Promise<{ display: string; child: ChildProcess }> {
  // It chooses a free number and writes it to its file 3.
  const child = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  started.add(child);
  const number = await new Promise<string>((resolve, reject) => {
    child.on("error", () => reject(new Error("Xvfb is missing: apt-get install xvfb")));
    child.stdio[3]!.once("data", (data: Buffer) => resolve(String(data).trim()));
  });
  return { display: `:${number}`, child };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function eventually<T>(work: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + PATIENCE * 1000; ; ) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode === null && child.kill()) await ended;
}
