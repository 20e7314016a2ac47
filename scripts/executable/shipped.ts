/** In executables, in the place of src/cli/shipped.ts: the model that was put inside, as each runtime gives it out. */

import type { ModelSource } from "../../src/index.ts";

export const SHIPPED = "stories-7m.q8_0.gguf";

interface Runtimes {
  Bun?: { embeddedFiles: readonly (Blob & { name: string })[] };
  Deno?: unknown;
}
interface Sea {
  getAssetAsBlob(name: string): Blob;
}

export function shipped(): ModelSource {
  const { Bun, Deno } = globalThis as Runtimes;
  if (Bun) return Bun.embeddedFiles.find(({ name }) => name === SHIPPED)!;
  // A file of a file system inside the executable, which has the program's too.
  if (Deno) return new URL(`./${SHIPPED}`, import.meta.url);
  return (process as unknown as { getBuiltinModule(name: string): Sea })
    .getBuiltinModule("node:sea")
    .getAssetAsBlob(SHIPPED);
}
