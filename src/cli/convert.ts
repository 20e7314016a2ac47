/** `rwkv convert` and `rwkv quantize`: write a model anew, in another container, in another type, or both. */

import { stat } from "node:fs/promises";
import type { Container, ConvertOptions } from "../index.ts";
import { type Command, type Given, UsageError } from "./arguments.ts";
import { readInput } from "./input.ts";
import { interruption } from "./interrupt.ts";
import { replaceFile, targetOf } from "./output.ts";
import { Progress, warn } from "./terminal.ts";

type Type = NonNullable<ConvertOptions["type"]>;
const TYPES = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "q4_mix"] satisfies Type[];
/** Words that stand for a vocabulary; anything else is a file. */
const VOCABULARIES = ["world", "bytes", "none"];
/** Far more than vocabularies take. */
const VOCABULARY_BYTES = 32 << 20;

const input = {
  type: "positional",
  description: "A model: a file, a folder, an address, or hf:owner/repo/file",
} as const;
const output = {
  type: "positional",
  description: "The file to write, .gguf or .safetensors; one that exists is replaced when the new one is complete",
} as const;
const vocab = {
  type: "string",
  valueHint: "file",
  description: `The vocabulary to put into GGUF: a file, or one of ${VOCABULARIES.join(", ")} (default: as when it is loaded)`,
} as const;

export const convert: Command = {
  meta: { name: "convert", description: "Write a model in another container, or in another type" },
  args: {
    input,
    output,
    type: {
      type: "string",
      valueHint: "type",
      description: `What its large matrices become: ${TYPES.join(", ")} (default: as they are)`,
    },
    vocab,
  },
  run: (given) => convertFile("convert", given),
};

export const quantize: Command = {
  meta: { name: "quantize", description: "Write a model with its large matrices in another type" },
  args: { input, output, type: { type: "positional", description: `One of ${TYPES.join(", ")}` }, vocab },
  run: (given) => convertFile("quantize", given),
};

async function convertFile(command: string, { values: args }: Given): Promise<void> {
  const [from, to] = [args.input!, args.output!];
  const type = TYPES.find((one) => one === args.type);
  if (args.type !== undefined && !type) {
    const what = command === "quantize" ? "<TYPE>" : "--type";
    throw new UsageError(`${what} must be one of ${TYPES.join(", ")}, not "${args.type}"`, command);
  }
  const container = containerOf(to, command);
  const vocabulary = args.vocab === undefined ? undefined : await vocabularyOf(args.vocab);
  const signal = interruption();
  const library = await import("../index.ts");
  const replaced = await stat(to).catch(() => undefined);
  // A model may lie in several files, of which none must be lost to the output.
  const inputs = replaced ? [from, ...(await library.inspect(from, { signal })).files.map(({ name }) => name)] : [];
  const target = await targetOf(inputs, to);
  const progress = new Progress(command === "quantize" ? "Quantising" : "Converting");
  const warnings: string[] = [];
  const onWarning = (warning: string) => void warnings.push(warning);
  const options = { container, type, vocabulary, onProgress: progress.update, onWarning, signal };
  try {
    await replaceFile(target, (write) => library.convert(from, { write }, options));
  } finally {
    progress.end();
  }
  for (const warning of warnings) warn(warning);
}

function containerOf(file: string, command: string): Container {
  if (/\.gguf$/i.test(file)) return "gguf";
  if (/\.(safetensors|st)$/i.test(file)) return "safetensors";
  throw new UsageError(
    `<OUTPUT> must end in .gguf or .safetensors, which says what is written, not "${file}"`,
    command,
  );
}

async function vocabularyOf(value: string): Promise<string | Uint8Array> {
  if (VOCABULARIES.includes(value)) return value;
  return readInput(value, "the vocabulary", VOCABULARY_BYTES);
}
