// The package as users get it: packed by npm, unpacked in a folder of its own, looked through, imported and compiled
// against.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { node } from "../../scripts/program.ts";
import { list, scan } from "../rules/scan.ts";

/** Stands for a user's project: it has a package.json, so that `rwkv-wasm` is looked for in its node_modules. */
const project = "build/package";
const unpacked = `${project}/node_modules/rwkv-wasm`;

rmSync(project, { recursive: true, force: true });
mkdirSync(unpacked, { recursive: true });
writeFileSync(`${project}/package.json`, '{ "type": "module" }\n');
const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", project];
const [{ filename, files }] = JSON.parse(execFileSync("npm", pack, { encoding: "utf8" })) as [
  { filename: string; files: { path: string }[] },
];
execFileSync("tar", ["-xzf", `${project}/${filename}`, "-C", unpacked, "--strip-components=1"]);

const paths = files.map(({ path }) => path);
const manifest = JSON.parse(readFileSync("package.json", "utf8"));
const { targets } = JSON.parse(readFileSync("asconfig.json", "utf8")) as {
  targets: Record<string, { outFile: string }>;
};

test("holds the entries, the kernels, a model, a vocabulary, the licence and the front page", () => {
  const wanted = ["index.js", "types/src/index.d.ts", "web.js", "worker.js", "cli.js"].map((name) => `dist/${name}`);
  for (const target of Object.values(targets)) wanted.push(target.outFile.replace(/^\.\//, ""));
  const missing = [...wanted, "weights/world.vocab", "LICENSE", "README.md"].filter((path) => !paths.includes(path));
  assert.equal(missing, []);
  assert.ok(paths.some((path) => path.startsWith("weights/") && statSync(path).size > 1e6));
});

test("holds nothing that only developers need", () => {
  const surplus = paths.filter(
    (path) => !/^(dist|weights|docs)\/|^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/.test(path),
  );
  const sources = paths.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
  assert.equal([...surplus, ...sources], []);
});

test("runs nothing when it is installed", () => {
  const hooks = ["preinstall", "install", "postinstall", "prepare"].filter((name) => name in manifest.scripts);
  assert.equal(hooks, []);
});

test("publint finds nothing to say", async () => {
  const { messages, pkg } = await publint({ pkgDir: unpacked, pack: false });
  assert.equal(
    messages.map((message) => formatMessage(message, pkg, { color: false })),
    [],
  );
});

test("the files for pages and workers import nothing from elsewhere", () => {
  const files = list(`${unpacked}/dist`, ".js").map(scan);
  const reached = new Set([`${unpacked}/dist/web.js`]);
  for (const path of reached) {
    for (const { text } of files.find((file) => file.path === path)?.imports ?? []) {
      assert.match(text, /^\.\//, `${path} imports ${text}`);
      reached.add(`${unpacked}/dist/${text.slice(2)}`);
    }
  }
  const worker = files.find(({ path }) => path.endsWith("/worker.js"));
  const foreign = worker?.imports.filter(({ text }) => !text.startsWith("node:"));
  assert.equal(foreign, []);
});

test("every import of an unpacked file leads to a file or a declared dependency", () => {
  const broken = [...list(`${unpacked}/dist`, ".js"), ...list(`${unpacked}/dist`, ".d.ts")].flatMap((path) =>
    scan(path).imports.filter(({ text }) => {
      if (text.startsWith("node:")) return false;
      const name = text.match(/^(@[^/]+\/)?[^/]+/)?.[0] ?? text;
      if (!text.startsWith(".")) return !(name in { ...manifest.dependencies, ...manifest.peerDependencies });
      const target = `${path.replace(/[^/]+$/, "")}${text}`;
      return !existsSync(path.endsWith(".d.ts") ? target.replace(/\.js$/, ".d.ts") : target);
    }),
  );
  assert.equal(broken, []);
});

test("the command line program can be executed, and answers", async () => {
  assert.ok(statSync(`${unpacked}/dist/cli.js`).mode & 0o100);
  assert.match(readFileSync(`${unpacked}/dist/cli.js`, "utf8"), /^#!\/usr\/bin\/env node\n/);
  const { code, output } = await node(`${unpacked}/dist/cli.js`, ["--version"], 60);
  assert.is(code, 0, output);
  assert.match(output, manifest.version);
});

test("can be imported, and offers load()", async () => {
  writeFileSync(`${project}/use.js`, 'import { load } from "rwkv-wasm";\nconsole.log(typeof load);\n');
  const { code, output } = await node(`${project}/use.js`, [], 60);
  assert.is(output, "function\n");
  assert.is(code, 0);
});

test("its types compile in a strict project, with the libraries' types checked too", async () => {
  const program = `import { load, RwkvError } from "rwkv-wasm";
    export const run = async (path: string): Promise<string> => {
      try {
        const model = await load(path);
        return typeof model;
      } catch (error) {
        return error instanceof RwkvError ? error.code : "unknown";
      }
    };
    // @ts-expect-error: unless the types were lost, and everything is any.
    load(Symbol());\n`;
  writeFileSync(`${project}/use.ts`, program);
  for (const module of ["NodeNext", "ESNext"]) {
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: "ES2022",
      lib: ["ES2022", "DOM", "ESNext.Disposable"],
      types: [],
      module,
      moduleResolution: module === "NodeNext" ? "NodeNext" : "Bundler",
    };
    writeFileSync(`${project}/tsconfig.json`, JSON.stringify({ compilerOptions, files: ["use.ts"] }));
    const { code, output } = await node("node_modules/typescript/bin/tsc", ["-p", project], 120);
    assert.is(code, 0, output);
  }
});

test.run();
