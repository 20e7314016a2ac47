/** Files by path, through `node:fs`, which Deno and Bun have too. */
import type { Stats } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkRange, closedSource } from "../bytes/source.ts";
import { checkFileName } from "../bytes/url.ts";
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";

/** What the operating system's codes mean, for people. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "it may not be read",
  EPERM: "it may not be read",
  ENOTDIR: "a part of its path is not a folder",
  ELOOP: "its links lead in a circle",
  ENAMETOOLONG: "its name is too long",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open",
  EIO: "the disk could not be read",
  ESTALE: "it was replaced on the file server",
};

/** The most one call reads: `node:fs` refuses 2 GiB and more. */
const MOST_PER_CALL = 1 << 30;
/** In a folder, these are looked for first; then a single file with one of these endings. */
const PRINCIPAL = ["model.safetensors.index.json", "model.safetensors"];
const ENDINGS = /\.(gguf|pth|safetensors|bin)$/i;
/** Names in a message. */
const LISTED = 10;

/**
 * Opens a file, or a folder's principal file. `where`: a path or a `file:` URL.
 *
 * Errors: `input` when it cannot be opened, saying why, and for a folder without one principal file; the signal's reason.
 */
export async function fileSource(where: string | URL, signal?: AbortSignal): Promise<Source> {
  signal?.throwIfAborted();
  const path = pathOf(where);
  try {
    const file = (await stat(path)).isDirectory() ? join(path, await principal(path)) : path;
    return await openFile(file, signal);
  } catch (error) {
    throw readable(path, "cannot be opened", error, signal);
  }
}

function pathOf(where: string | URL): string {
  const text = String(where);
  if (!/^file:/i.test(text)) return text;
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw new RwkvError("input", `${text} is no URL of a file here: ${(cause as Error).message}`, { cause });
  }
}

async function openFile(path: string, signal?: AbortSignal): Promise<Source> {
  const facts = await stat(path);
  // Opening a pipe would wait for its writer, and the size of a device says nothing.
  if (!facts.isFile()) throw new RwkvError("input", `${path} is ${kindOf(facts)}, not a file`);
  const file = await open(path);
  try {
    signal?.throwIfAborted();
    return new FileSource(path, (await file.stat()).size, file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function kindOf(facts: Stats): string {
  if (facts.isDirectory()) return "a folder";
  if (facts.isFIFO()) return "a pipe (which can be given as a ReadableStream)";
  if (facts.isSocket()) return "a socket";
  return "a device";
}

/** The file that stands for a folder. */
async function principal(folder: string): Promise<string> {
  // Links count as files: downloads are often kept as links to where the data is.
  const entries = await readdir(folder, { withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  const known = PRINCIPAL.find((name) => files.includes(name));
  if (known) return known;
  const candidates = files.filter((name) => ENDINGS.test(name)).sort();
  if (candidates.length === 1) return candidates[0]!;
  const found = candidates.length > 0 ? candidates : files.sort();
  const list = found.slice(0, LISTED).join(", ") + (found.length > LISTED ? ` and ${found.length - LISTED} more` : "");
  if (candidates.length > 0)
    throw new RwkvError("input", `${folder} holds several weights files (${list}); name the one to load`);
  throw new RwkvError(
    "input",
    `${folder} is a folder without a weights file (.gguf, .pth, .safetensors, .bin); it holds ${list || "no files"}`,
  );
}

/** An error of ours or an abort as it is; others in a sentence. */
function readable(path: string, what: string, error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof RwkvError || (signal?.aborted && error === signal.reason)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new RwkvError("input", `${path} ${what}: ${REASONS[code ?? ""] ?? message}`, { cause: error });
}

class FileSource implements Source {
  readonly #file: FileHandle;
  #closed = false;

  constructor(
    readonly name: string,
    readonly size: number,
    file: FileHandle,
  ) {
    this.#file = file;
  }

  async read(
    offset: number,
    length: number,
    signal?: AbortSignal,
    into?: ArrayBuffer,
  ): Promise<Uint8Array<ArrayBuffer>> {
    signal?.throwIfAborted();
    if (this.#closed) throw closedSource(this.name);
    checkRange(this, offset, length);
    const bytes = into && into.byteLength >= length ? new Uint8Array(into, 0, length) : new Uint8Array(length);
    await this.#fill(bytes, offset, signal);
    return bytes;
  }

  async readInto(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed) throw closedSource(this.name);
    checkRange(this, offset, into.length);
    await this.#fill(into, offset, signal);
  }

  async #fill(bytes: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const bytesRead = await this.#some(bytes, at, offset);
      signal?.throwIfAborted();
      if (bytesRead === 0)
        throw new RwkvError(
          "weights",
          `${this.name} ended at byte ${offset + at} while it was being read: it became shorter`,
        );
      at += bytesRead;
    }
  }

  async #some(bytes: Uint8Array, at: number, offset: number): Promise<number> {
    try {
      return (await this.#file.read(bytes, at, Math.min(bytes.length - at, MOST_PER_CALL), offset + at)).bytesRead;
    } catch (error) {
      if (this.#closed) throw closedSource(this.name);
      throw readable(this.name, `cannot be read at byte ${offset + at}`, error);
    }
  }

  async sibling(name: string, signal?: AbortSignal): Promise<Source | undefined> {
    if (this.#closed) throw closedSource(this.name);
    checkFileName(name, this.name);
    const path = join(dirname(this.name), name);
    try {
      return await openFile(path, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw readable(path, "cannot be opened", error, signal);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }
}
