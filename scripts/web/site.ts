/**
 * examples/web and the built package → a folder that any static host can serve: the page, the package's files for pages, the model,
 * fonts, icons, and a service worker that knows them all by their content.
 */

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { pngIcon, svgIcon } from "./icons.ts";

const PAGE = "examples/web";
const MODEL = "weights/stories-7m.q8_0.gguf";
/** Where the package lies in the site: `dist/` and `weights/` side by side, as its files expect. */
const PACKAGE = "rwkv-wasm";
const PREFIX = "rwkv-wasm-page-";
/** Served as they are. */
const STATIC = ["index.html", "page.css", "theme.js", "manifest.webmanifest"];
/** Open Font License 1.1; the licences go along. */
const FONTS = {
  newsreader: "node_modules/@fontsource-variable/newsreader",
  inter: "node_modules/@fontsource-variable/inter",
};

const digest = (...contents: Uint8Array[]): string => {
  const hash = createHash("sha256");
  for (const content of contents) hash.update(content);
  return hash.digest("hex").slice(0, 16);
};

/** Makes the site anew in `folder`, from dist/ as it is. */
export async function buildSite(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const copy = (from: string, to: string) => {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    cpSync(from, join(folder, to));
  };
  for (const name of STATIC) copy(join(PAGE, name), name);
  for (const [name, font] of Object.entries(FONTS)) {
    copy(`${font}/files/${name}-latin-wght-normal.woff2`, `fonts/${name}.woff2`);
    copy(`${font}/LICENSE`, `fonts/${name}-LICENSE.txt`);
  }
  mkdirSync(join(folder, "icons"));
  writeFileSync(join(folder, "icons/icon.svg"), svgIcon());
  for (const size of [192, 512]) writeFileSync(join(folder, `icons/icon-${size}.png`), pngIcon(size));
  writeFileSync(join(folder, "icons/icon-maskable-512.png"), pngIcon(512, true));
  for (const path of await packageFiles()) copy(path, join(PACKAGE, path));

  const model = `${PACKAGE}/${MODEL}`;
  await bundle(folder, "page", { MODEL: JSON.stringify(model) });
  await bundle(folder, "attention", {});

  // All but the model, which the library keeps.
  const files = list(folder).filter((path) => path !== model && !path.endsWith(".txt"));
  const version = digest(...files.map((path) => readFileSync(join(folder, path))));
  await bundle(folder, "service-worker", {
    FILES: JSON.stringify(files.map((path) => (path === "index.html" ? "./" : path))),
    CACHE: JSON.stringify(`${PREFIX}${version}`),
    PREFIX: JSON.stringify(PREFIX),
  });
}

/** What pages need of the package: web.js with all it imports, the worker, the kernels, the vocabulary, the model. */
async function packageFiles(): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: ["dist/web.js", "dist/worker.js"],
    outdir: "unwritten",
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    metafile: true,
    logLevel: "error",
  });
  const kernels = readdirSync("dist/kernels").map((name) => `dist/kernels/${name}`);
  return [...Object.keys(metafile.inputs), ...kernels, "weights/world.vocab", MODEL];
}

/** `service-worker` is a classic script, which all browsers take; the others are modules. */
function bundle(
  folder: string,
  name: "page" | "attention" | "service-worker",
  define: BuildOptions["define"],
): Promise<unknown> {
  return build({
    entryPoints: [`${PAGE}/${name}.ts`],
    outdir: folder,
    bundle: true,
    format: name === "service-worker" ? "iife" : "esm",
    target: "es2022",
    minify: true,
    define,
    logLevel: "warning",
    plugins: [
      {
        name: "rwkv-wasm",
        setup: ({ onResolve }) => {
          onResolve({ filter: /^rwkv-wasm$/ }, () => ({ path: `./${PACKAGE}/dist/web.js`, external: true }));
          // Fetched when it is asked for.
          onResolve({ filter: /^\.\/attention\.ts$/ }, ({ kind }) =>
            kind === "dynamic-import" ? { path: "./attention.js", external: true } : undefined,
          );
        },
      },
    ],
  });
}

const list = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();
