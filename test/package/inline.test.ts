// The entry `rwkv-wasm/inline`: one file with everything inside, alone in a folder, in every runtime.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { load } from "rwkv-wasm";
import sirv from "sirv";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { node } from "../../scripts/program.ts";
import { inBrowsers } from "../runtimes/browsers.ts";
import { programs } from "../runtimes/runtimes.ts";
import { html, ISOLATION, listen } from "../runtimes/site.ts";

const MODEL = "test/fixtures/v7.f32.gguf";
const OPTIONS = { maxTokens: 20, seed: 3, stopTokens: [] };

const model = await load(MODEL, { threads: 0 });
const expected = await model.generate("One day", OPTIONS).text();
await model.close();

const folder = "build/inline";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}/package.json`, '{ "type": "module" }');
copyFileSync("dist/inline.js", `${folder}/inline.js`);
copyFileSync("dist/inline.web.js", `${folder}/inline.web.js`);
copyFileSync(MODEL, `${folder}/model.gguf`);

/** Loads in all ways there are: a function that says how the model ran, and whether the text was right. */
const story = (entry: string, where: string) => `async () => {
  const { load } = await import(${JSON.stringify(entry)});
  const said = [];
  for (const options of [{ threads: 0 }, { threads: 1 }, { threads: 2 }, { threads: 2, build: "plain" }]) {
    const model = await load(${where}, options);
    const text = await model.generate("One day", ${JSON.stringify(OPTIONS)}).text();
    said.push(model.info.mode + " " + model.info.threads + " " + (text === ${JSON.stringify(expected)}));
    await model.close();
  }
  return said.join(", ");
}`;
const TEAM = "inline 1 true, team 1 true, team 2 true, team 2 true";
const ALONE = "inline 1 true, worker 1 true, worker 1 true, worker 1 true";

const where = 'new URL("./model.gguf", import.meta.url)';
writeFileSync(`${folder}/main.js`, `console.log(await (${story("./inline.js", where)})());`);
const own = {
  name: `Node ${process.versions.node.split(".")[0]}`,
  run: (file: string, limit: number) => node(file, [], limit),
};
for (const { name, run } of [own, ...programs()])
  test(name, async () => {
    const { output, code } = await run(`${folder}/main.js`, 600);
    assert.is(output.trim(), TEAM);
    assert.is(code, 0);
  });

await inBrowsers((browser, kind) => {
  /** In a page of another origin than the package's. */
  const inPage = async (isolated: boolean): Promise<void> => {
    const give = sirv(".", { dev: true });
    const files = await listen((request, response) => {
      response.setHeader("Access-Control-Allow-Origin", "*");
      // WebKit wants both in isolated pages.
      response.setHeader("Cross-Origin-Resource-Policy", "cross-origin");
      give(request, response);
    });
    const page = await listen((_, response) => {
      if (isolated) for (const [name, value] of Object.entries(ISOLATION)) response.setHeader(name, value);
      response.setHeader("Content-Type", "text/html").end(html());
    });
    const context = await browser.createBrowserContext();
    try {
      const tab = await context.newPage();
      await tab.goto(page.url);
      const parts = `${files.url}/${folder}`;
      const told = await tab.evaluate(`(${story(`${parts}/inline.web.js`, `"${parts}/model.gguf"`)})()`);
      // Debian's WebKit has no WebAssembly threads, whatever the headers.
      assert.is(told, isolated && kind !== "WebKit" ? TEAM : ALONE);
    } finally {
      await context.close();
      await files.close();
      await page.close();
    }
  };
  test(`${kind}, from another origin, cross-origin isolated`, () => inPage(true));
  test(`${kind}, from another origin, not isolated`, () => inPage(false));
});

test.run();
