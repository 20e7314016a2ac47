// `npm run pack`: builds, and packs the package into build/rwkv-wasm.tgz, which the examples install.
import { packed } from "./packed.ts";
import { node } from "./program.ts";

const { code, output } = await node("scripts/run.mjs", ["scripts/build.ts"]);
if (code === 0) packed();
process.stdout.write(output);
process.exitCode = code ?? 1;
