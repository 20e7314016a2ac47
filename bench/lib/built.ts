/** The package as it was built: benchmarks measure what users install. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { relaxedSimd } from "wasm-feature-detect";
import type { Build } from "../../src/engine/kernels.ts";

function found(path: string): string {
  if (!existsSync(path)) throw new Error(`${path} is missing: run npm run build first.`);
  return path;
}

/** What `import "rwkv-wasm"` gives. */
export function builtPackage(): Promise<typeof import("../../src/index.ts")> {
  return import(pathToFileURL(resolve(found("dist/index.js"))).href);
}

export function compiled(build: Build): WebAssembly.Module {
  return new WebAssembly.Module(readFileSync(found(`dist/kernels/${build}.wasm`)));
}

/** The builds that the package would use in this runtime: not every one has relaxed SIMD. */
export async function usableBuilds(): Promise<Build[]> {
  const relaxed = await relaxedSimd();
  const builds: Build[] = ["plain", "relaxed", "plain-threads", "relaxed-threads"];
  return builds.filter((build) => relaxed || !build.startsWith("relaxed"));
}
