/** Reading what a person names or pipes: files of a bounded size, and texts that have to be UTF-8. */

import { readFile, stat } from "node:fs/promises";
import { reasonOf } from "./system.ts";

/** A whole file. `what`: what it should be, for the message when it cannot be read. */
export async function readInput(path: string, what: string, mostBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const file = await stat(path);
    if (file.isDirectory()) throw new Error("it is a folder");
    if (file.size > mostBytes) throw new Error("it is too large for one");
    return new Uint8Array(await readFile(path));
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const reason = isMissing ? "there is no such file" : reasonOf(error);
    throw new Error(`${what} ${path} cannot be read: ${reason}`, { cause: error });
  }
}

/** Bytes as text. Throws when they are not UTF-8; `what`: "the prompt on standard input". */
export function textOf(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${what} is not UTF-8 text`);
  }
}

/** Whether JSON is an object, and no array. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
