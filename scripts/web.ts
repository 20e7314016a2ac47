// `npm run web [port]`: builds the page of examples/web into build/web and serves it on this machine, with the headers that
// give it threads. `npm run web:build [folder]` only builds it, for a static host.
import { existsSync, readdirSync } from "node:fs";
import { newest } from "./newest.mjs";
import { node } from "./program.ts";
import { serveSite } from "./web/serve.ts";
import { buildSite } from "./web/site.ts";

const PORT = 8080;
const FOLDER = "build/web";

/** As `npm start` does: builds the package if something changed since the last time. */
async function buildPackage(): Promise<void> {
  if (newest(["dist/cli.js"]) >= newest(["src", "assembly", "asconfig.json", "package.json"])) return;
  console.log("Building the package ...");
  const { code, output } = await node("scripts/run.mjs", ["scripts/build.ts", "--no-types"]);
  if (code !== 0) throw new Error(output.trimEnd());
}

/** The site is made anew from nothing: a folder with anything else in it is not the place for that. */
function checkFolder(folder: string): void {
  if (!existsSync(folder)) return;
  const names = readdirSync(folder);
  if (names.length > 0 && !names.includes("service-worker.js"))
    throw new Error(`${folder} holds something else; give a new or empty folder.`);
}

async function main([command, argument]: string[]): Promise<void> {
  const folder = command === "build" ? (argument ?? FOLDER) : FOLDER;
  const port = command === "serve" && argument !== undefined ? Number(argument) : PORT;
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error(`The port must be an integer from 0 to 65535, not "${argument}".`);
  checkFolder(folder);
  await buildPackage();
  await buildSite(folder);
  if (command === "build") {
    console.log(`The page is in ${folder}: any static host can serve it.`);
    return;
  }
  const site = await serveSite(folder, true, port);
  console.log(`The page is at ${site.url} (Ctrl-C ends it).`);
}

main(process.argv.slice(2)).catch((error: NodeJS.ErrnoException) => {
  console.error(
    error.code === "EADDRINUSE" ? "Something else listens there: give another port, npm run web 8081" : error.message,
  );
  process.exitCode = 1;
});
