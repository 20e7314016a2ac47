// The examples in docs/, run as they stand. A page takes part by beginning with a comment `<!-- examples ... -->`, whose lines stand before
// each of its programs; programs are blocks marked `js` and nothing else. What a program prints must be what the block marked `text`
// right below it says, or nothing if there is none. Each runs in a Node of its own, at the root of the repository.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { node } from "../../scripts/program.ts";
import { list } from "../rules/scan.ts";

/** Seconds for one program; generous, it only ends what hangs. */
const LIMIT = 120;
const folder = "build/docs";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const pages = list("docs", ".md").flatMap((path) => {
  const page = readFileSync(path, "utf8");
  const before = /^(?:# .*\n+)?<!-- examples\n([\s\S]*?)-->/.exec(page)?.[1];
  return before === undefined ? [] : [{ path, page, before }];
});

test("there are pages with examples", () => {
  assert.ok(pages.length > 0);
});

for (const { path, page, before } of pages) {
  const blocks = [...page.matchAll(/^```js\n([\s\S]*?)^```\n(?:\n*```text\n([\s\S]*?)^```$)?/gm)];
  test(`${path} has examples, each of them closed`, () => {
    assert.ok(blocks.length > 0);
    assert.is(blocks.length, [...page.matchAll(/^```js$/gm)].length);
  });
  for (const [i, [, program, output = ""]] of blocks.entries()) {
    const line = page.slice(0, page.indexOf(program)).split("\n").length;
    test(`${path}:${line}`, async () => {
      const file = `${folder}/${basename(path, ".md")}-${i + 1}.mjs`;
      writeFileSync(file, `${before}\n${program}`);
      const finished = await node(file, [], LIMIT);
      assert.is(finished.code, 0, finished.output);
      assert.is(finished.output.trimEnd(), output.trimEnd());
    });
  }
}

test.run();
