// `npm run build`: everything a user installs, from source into dist/. `--no-types` leaves the type declarations out.
import { utimesSync } from "node:fs";
import { bundle } from "./build/bundle.ts";
import { buildKernels } from "./build/kernels.ts";
import { buildTypes } from "./build/types.ts";

const started = new Date();
try {
  const kernels = await buildKernels();
  await bundle();
  if (!process.argv.includes("--no-types")) await buildTypes();
  // `npm start` compares this date with those of the sources: one that changed while building must count as younger.
  utimesSync("dist/cli.js", started, started);
  const seconds = ((Date.now() - started.getTime()) / 1000).toFixed(1);
  console.log(`Built dist/ in ${seconds} s (kernels compiled: ${kernels.join(", ") || "none, all current"}).`);
} catch (error) {
  // esbuild has already printed its own complaints, with the source lines.
  if (!(error instanceof Error && "errors" in error)) console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
