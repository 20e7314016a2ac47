/** Where the experiments put what they find: a table for people, and on request JSON for programs and a picture. */

import type { Arg, Given } from "../cli/arguments.ts";
import { replaceFile, targetOf } from "../cli/output.ts";
import { printable, write } from "../cli/terminal.ts";

/** The options that every experiment has. */
export const outputArgs: Readonly<Record<"json" | "svg", Arg>> = {
  json: { type: "string", valueHint: "file", description: "Write all figures to this file, as JSON" },
  svg: { type: "string", valueHint: "file", description: "Draw a chart into this file" },
};

/** What an experiment found. */
export interface Findings {
  /** The lines of a table, and what there is to say about it. */
  lines: readonly string[];
  json: unknown;
  /** Draws the picture, if it is wanted. */
  svg(): string | Promise<string>;
}

/** Answers what writes the findings. Throws at once if one of the files cannot be written: before anything was measured. */
export async function outputOf({ values }: Given): Promise<(findings: Findings) => Promise<void>> {
  const target = async (file: string | undefined) => (file === undefined ? undefined : await targetOf([], file));
  const [json, svg] = [await target(values.json), await target(values.svg)];
  return async (findings) => {
    await write(process.stdout, `${printable(findings.lines.join("\n"))}\n`);
    if (json !== undefined) await put(json, `${JSON.stringify(findings.json, undefined, 1)}\n`);
    if (svg !== undefined) await put(svg, await findings.svg());
  };
}

const put = (path: string, text: string) => replaceFile(path, (write) => write(new TextEncoder().encode(text)));
