/** Where the experiments put what they find: a table for people, and on request JSON for programs and a picture. */

import { resolve } from "node:path";
import { type Arg, type Given, UsageError } from "../cli/arguments.ts";
import { readInput } from "../cli/input.ts";
import { replaceFile, targetOf } from "../cli/output.ts";
import { printable, write } from "../cli/terminal.ts";

/** The options that every experiment has. */
export const outputArgs: Readonly<Record<"json" | "svg", Arg>> = {
  json: { type: "string", valueHint: "file", description: "Write all figures to this file, as JSON" },
  svg: { type: "string", valueHint: "file", description: "Draw a chart into this file" },
};

/** For experiments that take long: they can be done in pieces. */
export const withArg: Arg = {
  type: "string",
  valueHint: "file",
  multiple: true,
  description: "Show what another run wrote with --json too; may be given several times",
};

/** A file of findings that another run wrote is smaller. */
const JSON_BYTES = 64 << 20;

export const isNumber = (x: unknown): boolean => typeof x === "number" && Number.isFinite(x);

/** What other runs of an experiment wrote; `fits` looks at all that will be used. Throws for a file that is something else. */
export async function earlierRuns<Report>(
  experiment: string,
  paths: readonly string[] = [],
  fits: (report: Partial<Report>) => boolean,
): Promise<Report[]> {
  return await Promise.all(
    paths.map(async (path) => {
      const report = parsed(new TextDecoder().decode(await readInput(path, "the findings", JSON_BYTES)));
      if (report?.experiment !== experiment || !fits(report as Partial<Report>))
        throw new Error(`${path} is not what rwkv lab ${experiment} writes with --json`);
      return report as Report;
    }),
  );
}

function parsed(text: string): { experiment?: unknown } | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

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
  if (values.json !== undefined && values.svg !== undefined && resolve(values.json) === resolve(values.svg))
    throw new UsageError("--json and --svg cannot be the same file");
  const target = async (file: string | undefined) => (file === undefined ? undefined : await targetOf([], file));
  const [json, svg] = [await target(values.json), await target(values.svg)];
  return async (findings) => {
    await write(process.stdout, `${printable(findings.lines.join("\n"))}\n`);
    if (json !== undefined) await put(json, `${JSON.stringify(findings.json, undefined, 1)}\n`);
    if (svg !== undefined) await put(svg, await findings.svg());
  };
}

const put = (path: string, text: string) => replaceFile(path, (write) => write(new TextEncoder().encode(text)));
