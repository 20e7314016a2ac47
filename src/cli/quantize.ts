/** `rwkv quantize`: writes a model anew in another type. */

import { randomUUID } from "node:crypto";
import { unlinkSync } from "node:fs";
import { open, realpath, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { CommandDef } from "citty";
import { type Arguments, UsageError } from "./arguments.ts";
import { interruption } from "./interrupt.ts";
import { reasonOf } from "./system.ts";
import { Progress } from "./terminal.ts";

const TYPES = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] as const;

export const quantizeCommand: CommandDef = {
  meta: { name: "quantize", description: "Write a model with its large matrices in another type" },
  args: {
    input: { type: "positional", description: "A GGUF file of RWKV" },
    output: {
      type: "positional",
      description: "The file to write; one that exists is replaced when the new one is complete",
    },
    type: { type: "positional", description: `One of ${TYPES.join(", ")}` },
  },
  run: ({ args }) => quantizeFile(args as Arguments),
};

async function quantizeFile(args: Arguments): Promise<void> {
  const input = args.input!;
  const type = TYPES.find((one) => one === args.type);
  if (!type) throw new UsageError(`<TYPE> must be one of ${TYPES.join(", ")}, not "${args.type}"`, "quantize");
  const signal = interruption();
  const target = await targetOf(input, args.output!);
  const progress = new Progress("Quantising");
  try {
    const { quantize } = await import("../index.ts");
    await replaceFile(target, (write) => quantize(input, { write }, type, { onProgress: progress.update, signal }));
  } finally {
    progress.end();
  }
}

/** What `output` stands for, links followed. Throws unless it is a file of its own, or can become one. */
async function targetOf(input: string, output: string): Promise<string> {
  const exists = await stat(output).catch(() => undefined);
  if (!exists) return output;
  if (!exists.isFile()) throw new Error(`${output} is not a file that can be replaced`);
  const from = await stat(input).catch(() => undefined);
  if (from && from.ino === exists.ino && from.dev === exists.dev)
    throw new Error(`${output} is the input itself; write to another file`);
  return await realpath(output);
}

/** Fills a temporary file beside `path` and gives it that name at the end: what was there is lost only to a complete file. */
async function replaceFile(
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
