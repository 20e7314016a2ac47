// The suite in Deno, Bun and the other versions of Node.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import { packed } from "../../scripts/packed.ts";
import { bundleTests } from "./bundle.ts";
import { programs } from "./runtimes.ts";
import { conform, names, RUNS } from "./suite.ts";

const outdir = "build/everywhere/programs";
const address = pathToFileURL(resolve(packed().folder, "dist/index.js")).href;
await bundleTests(names, outdir, { address }, { runs: RUNS });
for (const runtime of programs()) test(runtime.name, () => conform(runtime, outdir));

test.run();
