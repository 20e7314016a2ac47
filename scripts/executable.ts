// `npm run executable bun|deno|node [output [runtime]]`: the command line with the model as one file that needs nothing else.
// docs/desktop.md says what each runtime wants for that.
import { statSync } from "node:fs";
import { KINDS, makeExecutable } from "./executable/make.ts";
import { newest } from "./newest.mjs";

async function main([kind, output = `build/rwkv-${kind}`, runtime]: string[]): Promise<void> {
  const known = KINDS.find((one) => one === kind);
  if (!known)
    throw new Error(`Say which runtime it is to be made of: npm run executable ${KINDS.join("|")} [output [runtime]]`);
  if (newest(["dist/inline.js"]) < newest(["src", "assembly"]))
    throw new Error("The package is not built: npm run build");
  await makeExecutable(known, output, runtime ?? (known === "node" ? process.execPath : known));
  console.log(`${output}: ${(statSync(output).size / 1e6).toFixed(0)} MB`);
}

main(process.argv.slice(2)).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
