/**
 * Browsers' own file system (the origin private file system) as a store: a folder for each entry. A file that is written takes
 * the place of the old one when it is closed, and not before.
 */
import type { BlockStore } from "../bytes/store.ts";

const FOLDER = "rwkv-wasm";

/** `undefined` where there is none, or none that can be written from here. */
export async function opfsStore(): Promise<BlockStore | undefined> {
  // Private windows have it and refuse it, by throwing; some versions of Safari can write only in another way.
  if (!globalThis.FileSystemFileHandle?.prototype.createWritable) return undefined;
  const root = await navigator.storage?.getDirectory?.();
  const folder = await root?.getDirectoryHandle(FOLDER, { create: true });
  if (!folder) return undefined;
  return {
    name: "OPFS",
    async entries() {
      const names: string[] = [];
      for await (const [name, { kind }] of folder.entries()) if (kind === "directory") names.push(name);
      return names;
    },
    async files(entry) {
      const sizes = new Map<string, number>();
      const directory = await unlessMissing(folder.getDirectoryHandle(entry));
      for await (const [name, handle] of directory?.entries() ?? [])
        if (handle.kind === "file") sizes.set(name, (await (handle as FileSystemFileHandle).getFile()).size);
      return sizes;
    },
    async read(entry, file) {
      const directory = await unlessMissing(folder.getDirectoryHandle(entry));
      const handle = directory && (await unlessMissing(directory.getFileHandle(file)));
      const bytes = handle && (await unlessMissing(handle.getFile().then((found) => found.arrayBuffer())));
      return bytes && new Uint8Array(bytes);
    },
    async write(entry, file, bytes, create = false) {
      const directory = await folder.getDirectoryHandle(entry, { create });
      const handle = await directory.getFileHandle(file, { create: true });
      const writable = await handle.createWritable();
      try {
        await writable.write(bytes);
        await writable.close();
      } catch (error) {
        await writable.abort().catch(() => {}); // the first error matters more
        throw error;
      }
    },
    async delete(entry) {
      await unlessMissing(folder.removeEntry(entry, { recursive: true }));
    },
    room,
    persist,
  };
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as Error).name === "NotFoundError") return undefined;
    throw error;
  }
}

/** What the browser still gives this origin, for all kinds of storage together. */
export async function room(): Promise<number | undefined> {
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  return quota === undefined || usage === undefined ? undefined : quota - usage;
}

export async function persist(): Promise<boolean> {
  return (await navigator.storage?.persist?.()) ?? false;
}
