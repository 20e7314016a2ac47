// Reads a source file as a list of tokens, which is all the rules need: what it imports, and which names it uses that
// it has not got from an object. Comments and the text of strings don't count.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import jsTokens, { type Token } from "js-tokens";

/** Something in a file, with the line it is on, for messages. */
export interface Found {
  text: string;
  line: number;
}

export interface Scanned {
  path: string;
  /** Specifiers of all imports and re-exports: static, dynamic and of types. */
  imports: (Found & {
    /** Whether it is `import()`. */
    dynamic: boolean;
  })[];
  /** Names of things used that belong to no object: not `x.name`, `name: x`, `name(x)`; but `globalThis.name`. */
  names: Found[];
}

/** Paths of the files under a folder that end in `ending`, sorted; dependencies' folders are left out. */
export function list(folder: string, ending: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith(ending) && !name.includes("node_modules"))
    .map((name) => join(folder, name).replaceAll("\\", "/"))
    .sort();
}

const blank = new Set<Token["type"]>([
  "WhiteSpace",
  "LineTerminatorSequence",
  "SingleLineComment",
  "MultiLineComment",
  "HashbangComment",
]);

/** Scans a file's text; `path` is only for messages. */
export function scanText(path: string, text: string): Scanned {
  const imports: Scanned["imports"] = [];
  const names: Found[] = [];
  const tokens: { token: Token; line: number }[] = [];
  let line = 1;
  for (const token of jsTokens(text)) {
    if (!blank.has(token.type)) tokens.push({ token, line });
    line += token.value.split("\n").length - 1;
  }
  const at = (index: number) => tokens[index]?.token.value ?? "";
  tokens.forEach(({ token, line }, i) => {
    const [before, after] = [at(i - 1), at(i + 1)];
    if (token.type === "StringLiteral" || token.type === "NoSubstitutionTemplate") {
      const dynamic = before === "(" && at(i - 2) === "import";
      if (dynamic || before === "from" || before === "import")
        imports.push({ text: token.value.slice(1, -1), line, dynamic });
    }
    if (token.type !== "IdentifierName") return;
    const property = /^\??\.$/.test(before) && !["globalThis", "self"].includes(at(i - 2));
    const key = (after === ":" && before !== "?" && before !== "case") || (after === "?" && at(i + 2) === ":");
    const called = after === "(" && before !== "new";
    if (!property && !key && !called) names.push({ text: token.value, line });
  });
  return { path, imports, names };
}

/** Scans a file. */
export function scan(path: string): Scanned {
  return scanText(path, readFileSync(path, "utf8"));
}
