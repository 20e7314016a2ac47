import { test } from "uvu";
import * as assert from "uvu/assert";
import { scanText } from "./scan.ts";

const names = (text: string) => scanText("x.ts", text).names.map((name) => name.text);
const imports = (text: string) => scanText("x.ts", text).imports.map(({ text, line }) => `${line} ${text}`);

test("finds every form of import, with its line", () => {
  const text = `
    import { a } from "./a.ts";
    import type { B } from './b.ts';
    import "./c.ts";
    export * from "./d.ts";
    const e = await import("./e.ts");
    type F = import("./f.ts").F;
    import {
      g,
    } from "node:g";`;
  const expected = ["2 ./a.ts", "3 ./b.ts", "4 ./c.ts", "5 ./d.ts", "6 ./e.ts", "7 ./f.ts", "10 node:g"];
  assert.equal(imports(text), expected);
});

test("comments, strings and ordinary calls are no imports", () => {
  assert.equal(imports('// import "a"\n/* from "b" */ const c = `from "d"`; load("e"); "import f";'), []);
});

test("finds names that stand for something global", () => {
  for (const use of [
    "process.exit(1)",
    "globalThis.process",
    "globalThis?.process",
    "typeof process < 'u'",
    "a ? process : b",
    ["`$", "{process.pid}`"].join(""),
    "const { env } = process;",
    "[process]",
    "new process(1)",
  ]) {
    assert.ok(names(use).includes("process"), use);
  }
});

test("properties, keys, methods, comments and strings are not such names", () => {
  for (const other of [
    "worker.process.x",
    "worker?.process",
    "({ process: 1 })",
    "interface X { process?: number }",
    "class X { process(x: number) {} }",
    "// process",
    "/** process */",
    "'process'",
    "`process`",
    "/process/u.test(x)",
  ]) {
    assert.not.ok(names(other).includes("process"), other);
  }
});

test.run();
