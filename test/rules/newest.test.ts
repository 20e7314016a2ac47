// What decides whether `npm start` builds again.
import { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { newest } from "../../scripts/newest.mjs";

const folder = "build/newest";
const date = (path: string, seconds: number) => utimesSync(path, seconds, seconds);

test.before.each(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(`${folder}/deep/deeper`, { recursive: true });
  writeFileSync(`${folder}/old`, "");
  writeFileSync(`${folder}/deep/deeper/young`, "");
  date(`${folder}/old`, 1000);
  date(`${folder}/deep/deeper/young`, 3000);
  for (const path of ["deep/deeper", "deep", ""]) date(`${folder}/${path}`, 2000);
});

test("the youngest file anywhere below decides", () => {
  assert.is(newest([folder]), 3_000_000);
  assert.is(newest([`${folder}/old`]), 1_000_000);
});

test("a file deleted counts as a change", () => {
  rmSync(`${folder}/old`);
  assert.ok(newest([folder]) > 3_000_000);
});

test("what does not exist is older than everything", () => {
  assert.is(newest([`${folder}/nowhere`]), 0);
  assert.is(newest([]), 0);
  assert.is(newest([`${folder}/nowhere`, `${folder}/old`]), 1_000_000);
});

test.run();
