// The package as users get it: packed by npm and unpacked where a project would have it, once for all tests of a build.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { newest } from "./newest.mjs";

export interface Packed {
  /** Stands for a user's project: it has a package.json, so that `rwkv-wasm` is looked for in its node_modules. */
  project: string;
  /** The unpacked package. */
  folder: string;
  tarball: string;
  /** Paths in it. */
  files: string[];
}

const project = "build/packed";
const note = `${project}/files.json`;

/** Packs if something has changed since the last time. */
export function packed(): Packed {
  const sources = newest(["dist", "weights", "docs", "package.json", "README.md", "CHANGELOG.md"]);
  if (!existsSync(note) || newest([note]) < sources) pack();
  const { files, filename } = JSON.parse(readFileSync(note, "utf8"));
  return { project, folder: `${project}/node_modules/rwkv-wasm`, tarball: `${project}/${filename}`, files };
}

function pack(): void {
  // In a folder of its own first: other tests may do the same at the same time.
  const making = `${project}.${process.pid}`;
  const folder = `${making}/node_modules/rwkv-wasm`;
  mkdirSync(folder, { recursive: true });
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", making];
  const [{ filename, files }] = JSON.parse(execFileSync("npm", args, { encoding: "utf8" })) as [
    { filename: string; files: { path: string }[] },
  ];
  execFileSync("tar", ["-xzf", `${making}/${filename}`, "-C", folder, "--strip-components=1"]);
  writeFileSync(`${making}/package.json`, '{ "type": "module" }\n');
  writeFileSync(`${making}/files.json`, JSON.stringify({ filename, files: files.map(({ path }) => path) }));
  rmSync(project, { recursive: true, force: true });
  renameSync(making, project);
  // Where the examples look for it.
  copyFileSync(`${project}/${filename}`, "build/rwkv-wasm.tgz");
}
