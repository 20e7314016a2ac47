// Cloudflare's workerd as a runtime, in Miniflare, which is installed with the other runtimes.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import type { Finished } from "../../scripts/program.ts";
import type { Site } from "./site.ts";

/** As much of Miniflare as is used here. */
interface Miniflare {
  readonly ready: Promise<URL>;
  dispatchFetch(url: string): Promise<Response>;
  dispose(): Promise<void>;
}
type Module = { type: "ESModule" | "CompiledWasm"; path: string; contents: string | Uint8Array };

/** Starts a worker: `main`, which can import `./workerd.js`, of the package in `folder`. */
export function startWorker(main: string, folder = ".", options: object = {}): Miniflare {
  const { Miniflare } = createRequire(resolve("test/runtimes/package.json"))("miniflare");
  const dist = `${folder}/dist`;
  const modules: Module[] = [
    { type: "ESModule", path: "main.js", contents: main },
    { type: "ESModule", path: "workerd.js", contents: readFileSync(`${dist}/workerd.js`, "utf8") },
  ];
  for (const name of readdirSync(`${dist}/kernels`)) {
    const contents = readFileSync(`${dist}/kernels/${name}`);
    modules.push({ type: "CompiledWasm", path: `kernels/${name}`, contents });
  }
  return new Miniflare({ modules, compatibilityDate: "2026-01-01", ...options });
}

/**
 * A worker that runs a test file, which was bundled with `globalThis.package` in the place of `rwkv-wasm`, when it is asked something: only
 * then timers and requests are allowed. What the file prints is the answer.
 */
const harness = (code: string, site: Site) => `
  import * as rwkv from "./workerd.js";
  globalThis.package = rwkv;
  globalThis.files = ${JSON.stringify(`${site.url}/`)};
  const run = async () => {
${code}
  };
  export default {
    fetch() {
      const { readable, writable } = new TransformStream();
      const writer = writable.getWriter();
      const encoder = new TextEncoder();
      let ended = false;
      const print = (...values) => {
        if (ended) return;
        const text = values.map(String).join(" ");
        void writer.write(encoder.encode(text + "\\n"));
        if (!/^ *(Duration|thrown): /m.test(text)) return;
        ended = true;
        void writer.close();
      };
      const thrown = (error) => print("thrown: " + (error?.stack ?? error));
      console.log = console.error = console.warn = console.info = print;
      // workerd tells of rejections too early, and takes back what it said when they are handled in the same turn.
      const rejected = new Set();
      addEventListener("unhandledrejection", ({ promise, reason }) => {
        rejected.add(promise);
        setTimeout(() => rejected.has(promise) && thrown(reason), 10);
      });
      addEventListener("rejectionhandled", ({ promise }) => rejected.delete(promise));
      run().catch(thrown);
      return new Response(readable);
    },
  };`;

/** Runs a test file; `limit` in seconds. `folder`: where the package is. */
export async function runInWorkerd(site: Site, file: string, limit: number, folder?: string): Promise<Finished> {
  const started = performance.now();
  const worker = startWorker(harness(readFileSync(file, "utf8"), site), folder);
  let output = "";
  let code: number | null = null;
  const read = async () => {
    const { body } = await worker.dispatchFetch("http://worker/");
    for await (const text of body!.pipeThrough(new TextDecoderStream())) output += text;
    code = /^ *Duration: /m.test(output) ? 0 : 1;
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limit * 1000);
  });
  try {
    await Promise.race([read(), over]);
  } catch (error) {
    output += `${(error as Error).message}\n`;
    code = 1;
  } finally {
    clearTimeout(timer);
    await worker.dispose();
  }
  return { output, code, timedOut: code === null, seconds: (performance.now() - started) / 1000 };
}
