// The package as users get it: packed by npm, unpacked in a folder of its own, looked through, imported and compiled
// against.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { packed } from "../../scripts/packed.ts";
import { node } from "../../scripts/program.ts";
import { part, pthOf } from "../model/tuned.ts";
import { list, scan } from "../rules/scan.ts";
import { programs } from "../runtimes/runtimes.ts";

const { project, folder: unpacked, tarball, files: paths } = packed();
const manifest = JSON.parse(readFileSync("package.json", "utf8"));
const { targets } = JSON.parse(readFileSync("asconfig.json", "utf8")) as {
  targets: Record<string, { outFile: string }>;
};

test("holds the entries, the kernels, a model, a vocabulary, the licence and the front page", () => {
  const wanted = [
    "index.js",
    "types/src/index.d.ts",
    "web.js",
    "worker.js",
    "worker.node.js",
    "workerd.js",
    "inline.js",
    "inline.web.js",
    "cli.js",
  ].map((name) => `dist/${name}`);
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

test("are the types wrong finds nothing to say", async () => {
  const attw = "node_modules/@arethetypeswrong/cli/dist/index.js";
  // A classic script for pages to include has no types.
  const options = [tarball, "--profile", "esm-only", "--no-color", "--exclude-entrypoints", "./isolation.js"];
  const { code, output } = await node(attw, options, 120);
  assert.is(code, 0, output);
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
  const imports = (name: string) =>
    files.find(({ path }) => path.endsWith(`/${name}`))!.imports.map(({ text }) => text);
  const wasm = ["./kernels/plain.wasm", "./kernels/relaxed.wasm"];
  assert.equal(imports("workerd.js"), wasm);
  assert.equal([...imports("worker.js"), ...imports("inline.web.js")], []);
  assert.equal(imports("worker.node.js"), ["node:worker_threads"]);
  const inline = imports("inline.js").filter((name) => !name.startsWith("node:"));
  assert.equal(new Set(inline), new Set(Object.keys(manifest.peerDependencies)));
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

/** The programs on the front page: the ten lines, and what else there is. */
const [tenLines, more] = [...readFileSync("README.md", "utf8").matchAll(/^```js\n(.*?)^```$/gms)].map(
  ([, code]) => code,
);

test("the front page's ten lines tell the same story in every runtime, from a folder that has nothing but the package", async () => {
  writeFileSync(`${project}/story.js`, tenLines);
  const args = ["run", "Once upon a time", "--max-tokens", "100", "--seed", "7"];
  const story = execFileSync(process.execPath, [`${unpacked}/dist/cli.js`, ...args], {
    encoding: "utf8",
    stdio: "pipe",
  });
  // Relative paths would be found in the repository.
  const told = execFileSync(process.execPath, ["story.js"], { cwd: project, encoding: "utf8" });
  assert.ok(told.length > 200);
  assert.is(`Once upon a time${told}`.trimEnd(), story.trimEnd());
  for (const { name, run } of programs()) {
    const { code, output } = await run(`${project}/story.js`, 120);
    assert.is(output, told, name);
    assert.is(code, 0, name);
  }
});

test("what else there is on the front page is there", () => {
  const state = Array.from({ length: 6 }, (_, i) => part(`blocks.${i}.att.time_state`, [4, 64, 64], i + 1));
  writeFileSync(`${project}/style.pth`, pthOf(state));
  const opened = tenLines.slice(0, tenLines.indexOf("try {"));
  const shown =
    "console.log(JSON.stringify([session.position, other.position, reply.length > 0, logits.length, model.info.version]));";
  writeFileSync(
    `${project}/more.js`,
    `${opened}${more}model.session(tuned);\nmodel.session(bytes);\n${shown}\nawait model.close();\n`,
  );
  const output = execFileSync(process.execPath, ["more.js"], { cwd: project, encoding: "utf8" });
  const [position, forked, replied, count, version] = JSON.parse(output);
  assert.ok(forked > 1 && position > forked, output);
  assert.equal([replied, version], [true, "7"]);
  assert.ok(count > 0);
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
