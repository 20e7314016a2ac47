// src/ → dist/types/**/*.d.ts: the types of everything public, as TypeScript writes them, importable by users.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { node } from "../program.ts";

/** Writes dist/types/ anew. The compiler leaves `./x.ts` in imports; users' compilers want `./x.js`. */
export async function buildTypes(): Promise<void> {
  const folder = "dist/types";
  rmSync(folder, { recursive: true, force: true });
  const { code, output } = await node("node_modules/typescript/bin/tsc", ["-p", "tsconfig.build.json"]);
  if (code !== 0) throw new Error(`tsc -p tsconfig.build.json failed:\n${output}`);
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".d.ts")) continue;
    const text = readFileSync(join(folder, name), "utf8");
    writeFileSync(
      join(folder, name),
      text.replace(/(\bfrom |\bimport\(|\bimport )("\.{1,2}\/[^"]+)\.ts"/g, '$1$2.js"'),
    );
  }
}
