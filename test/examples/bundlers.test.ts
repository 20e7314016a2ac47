// The examples of bundlers: each is installed and built, from the packed package, and what comes out is opened in Chromium.
import sirv from "sirv";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inBrowsers } from "../runtimes/browsers.ts";
import { ISOLATION, listen } from "../runtimes/site.ts";
import { expected, install, npm, read, start } from "./example.ts";

const story = (await expected()).trim();
const told = { info: "stories-7m: team", story };
const shorten = ({ info, story }: typeof told) => ({ info: info.replace(/, .*/, ""), story });

for (const name of ["vite", "webpack", "esbuild", "rollup", "next"])
  test(`${name}: installs and builds`, async () => {
    await install(name);
    await npm(name, "run", "build");
  });

await inBrowsers(
  (browser, kind) => {
    for (const name of ["vite", "webpack", "esbuild", "rollup"])
      test(`${name}: what it builds runs in ${kind}, with threads`, async () => {
        const files = sirv(`examples/${name}/dist`, { dev: true });
        const site = await listen((request, response) => {
          for (const [header, value] of Object.entries(ISOLATION)) response.setHeader(header, value);
          files(request, response);
        });
        try {
          assert.equal(shorten(await read(browser, `${site.url}/index.html`)), told);
        } finally {
          await site.close();
        }
      });

    test(`vite: its development server works with ${kind}`, async () => {
      const args = ["--port", "0", "--host", "127.0.0.1"];
      const server = await start("vite", "node_modules/vite/bin/vite.js", ...args);
      try {
        assert.equal(shorten(await read(browser, `${server.url}/`)), told);
      } finally {
        server.stop();
      }
    });

    test(`next: its page in ${kind}, its server in Node`, async () => {
      const args = ["start", "--port", "0", "--hostname", "127.0.0.1"];
      const server = await start("next", "node_modules/next/dist/bin/next", ...args);
      try {
        assert.equal(shorten(await read(browser, `${server.url}/`)), told);
        const response = await fetch(`${server.url}/api/story`);
        assert.is((await response.text()).trim(), story);
      } finally {
        server.stop();
      }
    });
  },
  ["Chromium"],
);

test.run();
