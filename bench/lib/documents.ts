/** Texts to judge a model by: documents in one file, between lines that say `<|endoftext|>`. */
import { readFileSync } from "node:fs";

const SEPARATOR = "<|endoftext|>";

/** The documents of a file, without white space around them. */
export function documents(path: string): string[] {
  const lines = readFileSync(path, "utf8").split(/\r?\n/);
  const texts: string[][] = [[]];
  for (const line of lines) {
    if (line.trim() === SEPARATOR) texts.push([]);
    else texts.at(-1)!.push(line);
  }
  return texts.map((text) => text.join("\n").trim()).filter(Boolean);
}
