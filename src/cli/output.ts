/** Writing a file that is there when it is complete, and not before. */

import { randomUUID } from "node:crypto";
import { unlinkSync } from "node:fs";
import { access, constants, open, realpath, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { reasonOf } from "./system.ts";

/** What `output` stands for, links followed. Throws unless it can be replaced, or written anew, without losing one of the inputs. */
export async function targetOf(inputs: readonly string[], output: string): Promise<string> {
  const exists = await stat(output).catch(() => undefined);
  if (!exists) {
    if (output === "") throw new Error("the file to write has no name");
    const folder = dirname(output);
    // A file's name with a slash behind it is that of no folder; and what may not be written is better known before the work.
    await access(`${folder}/`, constants.W_OK).catch((error) => {
      throw new Error(`cannot write a file in ${folder}: ${reasonOf(error)}`, { cause: error });
    });
    return output;
  }
  if (!exists.isFile()) throw new Error(`${output} is not a file that can be replaced`);
  for (const input of inputs) {
    const from = await stat(input).catch(() => undefined);
    if (from && from.ino === exists.ino && from.dev === exists.dev)
      throw new Error(`${output} is the input itself; write to another file`);
  }
  return await realpath(output);
}

/** Fills a temporary file beside `path` and gives it that name at the end: what was there is lost only to a complete file. */
export async function replaceFile(
  path: string,
  fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomUUID().slice(0, 8)}.part`;
  const file = await open(temporary, "wx").catch((error) => {
    throw new Error(`cannot write a file in ${dirname(path)}: ${reasonOf(error)}`, { cause: error });
  });
  const discard = () => unlinkSync(temporary);
  process.once("exit", discard);
  try {
    await fill(async (bytes) => {
      try {
        await file.writeFile(bytes);
      } catch (error) {
        throw new Error(`cannot write ${path}: ${reasonOf(error)}`, { cause: error });
      }
    });
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    discard();
    throw error;
  } finally {
    process.removeListener("exit", discard);
  }
}
