// src/ → dist/**/*.d.ts: the types of everything public, as TypeScript writes them, importable by users.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { node } from "../program.ts";

/** Paths of all declaration files under dist/. */
function declarations(): string[] {
  const names = readdirSync("dist", { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".d.ts")).map((name) => join("dist", name));
}

/** Writes dist/'s declarations anew. The compiler leaves `./x.ts` in imports; users' compilers want `./x.js`. */
export async function buildTypes(): Promise<void> {
  for (const path of declarations()) rmSync(path);
  const { code, output } = await node("node_modules/typescript/bin/tsc", ["-p", "tsconfig.build.json"]);
  if (code !== 0) throw new Error(`tsc -p tsconfig.build.json failed:\n${output}`);
  for (const path of declarations()) {
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(/(\bfrom |\bimport\(|\bimport )("\.{1,2}\/[^"]+)\.ts"/g, '$1$2.js"'));
  }
}
