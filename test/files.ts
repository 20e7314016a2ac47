/** Files of the repository in tests that run in every runtime: programs start in its root, and pages are served from there. */

/** Where neither is so, the address of the root, with a slash at its end. */
const { files = "" } = globalThis as { files?: string };

/** A file's path, as `load` takes it here. */
export const at = (path: string): string => files + path;

/** A file's bytes. */
export async function bytesAt(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!("process" in globalThis)) return new Uint8Array(await (await fetch(at(path))).arrayBuffer());
  const { readFile } = await import("node:fs/promises");
  return new Uint8Array(await readFile(path));
}
