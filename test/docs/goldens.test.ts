// The hashes that docs/runtimes.md prints are those that the tests find in every runtime.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GOLDEN } from "../conformance/goldens.ts";

test("the table of hashes", () => {
  const rows = readFileSync("docs/runtimes.md", "utf8").matchAll(
    /^\| `(.+)` \| (\w+) \| `([0-9a-f]{8})` \| `([0-9a-f]{8})` \| `([0-9a-f]{8})` \|$/gm,
  );
  const printed = Array.from(rows, ([, ...cells]) => cells);
  const found = GOLDEN.map(({ file, weights, logits, state, text }) => {
    const type = weights ?? /\.(\w+)\.gguf$/.exec(file)![1];
    return [basename(file), type, logits, state, text];
  });
  assert.equal(printed, found);
});

test.run();
