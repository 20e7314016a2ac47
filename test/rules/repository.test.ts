// What holds for the files of the repository, whatever they are about.
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { list, scan } from "./scan.ts";

const tests = list("test", ".test.ts");

test("every test file runs its tests", () => {
  const forgotten = tests.filter((path) => !/^(\w+)\.run\(\);\s*$/m.test(readFileSync(path, "utf8")));
  assert.equal(forgotten, []);
});

test("no test was left to run alone", () => {
  const alone = tests.filter((path) => /^\s*\w+\.only\(/m.test(readFileSync(path, "utf8")));
  assert.equal(alone, []);
});

test("tests read nothing outside the repository", () => {
  const outside = tests.flatMap((path) => scan(path).imports.filter(({ text }) => text.startsWith("/")));
  assert.equal(outside, []);
});

test("no file names a package registry's host or a path of somebody's machine", () => {
  const tracked = execFileSync("git", ["ls-files", "-z"], { encoding: "utf8" })
    .split("\0")
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  assert.ok(tracked.length > 0);
  // In pieces, so that this file does not name them either.
  const hosts = ["registry npmjs org", "registry yarnpkg com", "pypi org", "pythonhosted org", "deb debian org"];
  const folders = ["root", "home/\\w+", "Users/\\w+", "work/(main|shared)", "tmp/[a-z]"].map(
    (path) => `["'\`\\s(]/${path}[/"'\`\\s)]`,
  );
  const forbidden = new RegExp([...hosts.map((host) => host.replaceAll(" ", "\\.")), ...folders].join("|"));
  const wrong = tracked.flatMap((path) => {
    const text = readFileSync(path, "latin1");
    if (text.includes("\0")) return [];
    return text
      .split("\n")
      .flatMap((line, i) => (forbidden.test(line) ? `${path}:${i + 1} ${line.trim().slice(0, 120)}` : []));
  });
  assert.equal(wrong, []);
});

test("the lock files pin every package by version and hash, and no host", () => {
  for (const path of execFileSync("git", ["ls-files", "package-lock.json", "*/package-lock.json"], { encoding: "utf8" })
    .trim()
    .split("\n")) {
    const { packages } = JSON.parse(readFileSync(path, "utf8"));
    const loose = Object.keys(packages).filter((key) => {
      const { version, integrity, resolved } = packages[key];
      // Examples install what was built last, of which no hash can be known.
      const own = resolved === "file:../../build/rwkv-wasm.tgz" && !integrity;
      return key !== "" && !own && (!version || !integrity || resolved !== undefined);
    });
    assert.equal(loose, [], path);
  }
});

test.run();
