// The example for workerd as it would be deployed: what wrangler makes of it, in Miniflare.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const folder = "examples/workerd";

interface Miniflare {
  readonly ready: Promise<URL>;
  dispose(): Promise<void>;
}

/** Starts what was built last, with the bindings that wrangler.jsonc names. */
export function startExample(): Miniflare {
  const { Miniflare } = createRequire(resolve(`${folder}/package.json`))("miniflare");
  const built = readdirSync(`${folder}/dist`).filter((name) => /\.(js|wasm)$/.test(name));
  // The first one is the program.
  const modules = built
    .sort((a, b) => Number(b === "index.js") - Number(a === "index.js"))
    .map((path) => {
      const contents = readFileSync(`${folder}/dist/${path}`);
      return path.endsWith(".wasm")
        ? { type: "CompiledWasm", path, contents }
        : { type: "ESModule", path, contents: contents.toString() };
    });
  return new Miniflare({
    modules,
    compatibilityDate: "2026-01-01",
    assets: {
      directory: resolve(`${folder}/node_modules/rwkv-wasm/weights`),
      binding: "ASSETS",
      routerConfig: { has_user_worker: true },
    },
    durableObjects: { MODEL: { className: "StoryModel", useSQLite: true } },
  });
}

/** Bytes of memory that the workerd processes started by this one have for themselves; on Linux. */
export function memoryOfWorkerd(): number {
  let bytes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let status = "";
    try {
      status = readFileSync(`/proc/${pid}/status`, "utf8");
    } catch {
      continue; // It has ended.
    }
    if (!/^Name:\s+workerd$/m.test(status) || !status.includes(`\nPPid:\t${process.pid}\n`)) continue;
    bytes += Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }
  return bytes;
}
