// docs/cli.md, run as it stands: after each command its output must be what the page says.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { OPTIONS } from "../../src/cli/sampling.ts";
import { start } from "./rwkv.ts";

const page = readFileSync("docs/cli.md", "utf8");
const folder = "build/cli/docs";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
copyFileSync("test/fixtures/v7.f16.gguf", `${folder}/model.f16.gguf`);
copyFileSync("test/fixtures/v7.bf16.pth", `${folder}/model.pth`);
const [tasks] = /(?<=^\$ cat tasks.jsonl\n)(\{.*\n)+/m.exec(page)!;
writeFileSync(`${folder}/tasks.jsonl`, tasks);
writeFileSync(`${folder}/rwkv`, `#!/bin/sh\nexec "${process.execPath}" "${resolve("dist/cli.js")}" "$@"\n`, {
  mode: 0o755,
});

const examples = [...page.matchAll(/^```console\n(.*?)^```$/gms)].flatMap(([, block]) =>
  [...block.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)].map(([, command, output]) => ({ command, output })),
);

test("there are examples of all commands", () => {
  for (const command of [
    "rwkv run",
    "rwkv chat",
    "rwkv eval",
    "rwkv bench",
    "rwkv inspect",
    "rwkv convert",
    "rwkv quantize",
  ])
    assert.ok(examples.some((example) => example.command.includes(command)));
});

for (const { command, output } of examples)
  test(command, async () => {
    const { stdout } = await start("sh", ["-c", `cd ${folder}; PATH=".:$PATH"; ${command}`]);
    assert.is(stdout.replace(/([^\n])$/, "$1\n"), output);
  });

test("every option of a generation is in the table, with its default", () => {
  for (const [name, { takes, usual }] of Object.entries(OPTIONS)) {
    const range = typeof takes === "object" ? `[^|]*${takes.low}[^|]*` : "[^|]*";
    assert.match(page, new RegExp(`^\\| \`--${name}\` \\|${range}\\| ${usual ?? "[^|]+"} \\| `, "m"));
  }
});

test.run();
