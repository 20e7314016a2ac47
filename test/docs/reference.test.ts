// docs/reference.md names everything that the package exports, and every public method of its classes; and its links lead somewhere.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { list } from "../rules/scan.ts";

const page = readFileSync("docs/reference.md", "utf8");
/** What stands in code marks. */
const named = [...page.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code);
const words = new Set(named.flatMap((code) => code.match(/\w+/g) ?? []));

test("every export", () => {
  const source = readFileSync("src/api/public.ts", "utf8") + readFileSync("src/index.ts", "utf8");
  const blocks = [...source.matchAll(/^export (?:type )?\{([^}]+)\}/gm)].flatMap(([, names]) => names.split(","));
  const own = [...source.matchAll(/^export (?:const|function) (\w+)/gm)].map(([, name]) => name);
  const names = [...own, ...blocks.map((name) => name.trim().replace(/^type /, "")).filter(Boolean)];
  assert.ok(names.length > 50 && names.includes("load") && names.includes("PrefixCache"));
  assert.equal(
    names.filter((name) => !words.has(name)),
    [],
  );
});

test("every public method, getter and field of the classes", () => {
  const files = ["api/model", "api/session", "api/chat", "api/prefix-cache", "generate", "bytes/cache"];
  const missing: string[] = [];
  let found = 0;
  for (const file of files) {
    const lines = readFileSync(`src/${file}.ts`, "utf8").split("\n");
    let within = false;
    let internal = false;
    for (const line of lines) {
      if (/^export class (Model|Session|Chat|Reply|PrefixCache|Generation|DownloadCache)\b/.test(line)) within = true;
      else if (line === "}") within = false;
      if (line.includes("@internal")) internal = true;
      const name = /^ {2}(?:readonly |async |get )*(\w+)(?:\(|:|;| =)/.exec(line)?.[1];
      if (!within || !name) continue;
      found++;
      if (!internal && name !== "constructor" && !words.has(name)) missing.push(`${file}: ${name}`);
      internal = false;
    }
  }
  assert.ok(found > 40, String(found));
  assert.equal(missing, []);
});

test("links within docs/ lead to pages and headings that exist", () => {
  const anchors = (path: string) =>
    [...readFileSync(path, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    );
  const pages = new Map(list("docs", ".md").map((path) => [path.replace(/^docs\//, ""), anchors(path)]));
  const broken = [...page.matchAll(/\]\(([^)]*)\)/g)]
    .map(([, link]) => link)
    .filter((link) => {
      const [path, anchor] = link.split("#");
      const found = pages.get(path || "reference.md");
      return !found || (anchor !== undefined && !found.includes(anchor));
    });
  assert.equal(broken, []);
});

test.run();
