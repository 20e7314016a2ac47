/** A folder as a store, through `node:fs`, which Deno and Bun have too: a folder in it for each entry. */
import { mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { room } from "../bytes/reuse.ts";
import { type BlockStore, noRoom } from "../bytes/store.ts";

/** Where the operating system wants such things: a folder of the user's, which may be deleted at any time. */
export function defaultFolder(system: string = process.platform, variables = process.env): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = variables;
  if (system === "win32") return join(LOCALAPPDATA || join(homedir(), "AppData", "Local"), "rwkv-wasm", "Cache");
  if (system === "darwin") return join(homedir(), "Library", "Caches", "rwkv-wasm");
  // Of XDG's variables those that are no absolute paths are to be ignored.
  return join(XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homedir(), ".cache"), "rwkv-wasm");
}

/** The folder is made when something is kept. */
export function folderStore(folder: string): BlockStore {
  return {
    name: folder,
    entries: () => list(folder, (entry) => entry.isDirectory()),
    async files(entry) {
      const names = await list(join(folder, entry), (file) => file.isFile() && !file.name.endsWith(".new"));
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, entry, name))).size));
      return new Map(names.map((name, i) => [name, sizes[i]!]));
    },
    async read(entry, file, into) {
      const handle = await unlessMissing(open(join(folder, entry, file)));
      try {
        const { size = 0 } = (await handle?.stat()) ?? {};
        if (!handle || (into && size > into.byteLength)) return undefined;
        const bytes = room(size, into);
        const { bytesRead } = await handle.read(bytes, 0, size, 0);
        return bytes.subarray(0, bytesRead);
      } finally {
        await handle?.close();
      }
    },
    async write(entry, file, bytes, create) {
      // Others need not see what somebody downloads.
      if (create) await mkdir(join(folder, entry), { recursive: true, mode: 0o700 });
      const path = join(folder, entry, file);
      const fresh = `${path}.${process.pid}-${Math.random().toString(36).slice(2)}.new`;
      try {
        await writeFile(fresh, bytes, { flag: "wx" });
        await rename(fresh, path);
      } catch (error) {
        await rm(fresh, { force: true }).catch(() => {}); // the first error matters more
        const { code, message } = error as NodeJS.ErrnoException;
        throw code === "ENOSPC" || code === "EDQUOT" ? noRoom(message) : error;
      }
    },
    delete: (entry) => rm(join(folder, entry), { recursive: true, force: true }),
    async room() {
      // Before the first download only a folder above exists.
      for (let path = folder, above = join(path, ".."); ; [path, above] = [above, join(above, "..")]) {
        const facts = await unlessMissing(statfs(path));
        if (facts) return facts.bavail * facts.bsize;
        if (above === path) return undefined;
      }
    },
    persist: async () => true,
  };
}

async function list(folder: string, wanted: (entry: { name: string } & Kind) => boolean): Promise<string[]> {
  const entries = await unlessMissing(readdir(folder, { withFileTypes: true }));
  return (entries ?? []).filter(wanted).map(({ name }) => name);
}

interface Kind {
  isDirectory(): boolean;
  isFile(): boolean;
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
