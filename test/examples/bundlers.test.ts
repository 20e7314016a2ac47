// The examples of bundlers: each is installed and built, from the packed package, and what comes out is opened in Chromium.
import sirv from "sirv";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inBrowsers } from "../runtimes/browsers.ts";
import { ISOLATION, listen } from "../runtimes/site.ts";
import { expected, freePort, install, npm, read, start } from "./example.ts";

const story = (await expected()).trim();
const told = { info: "stories-7m: team", story };
const shorten = ({ info, story }: typeof told) => ({ info: info.replace(/, .*/, ""), story });

for (const name of ["vite", "esbuild"])
  test(`${name}: installs and builds`, async () => {
    await install(name);
    await npm(name, "run", "build");
  });

await inBrowsers(
  (browser, kind) => {
    for (const name of ["vite", "esbuild"])
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
      const port = await freePort();
      const server = await start(
        "vite",
        "node_modules/vite/bin/vite.js",
        "--port",
        String(port),
        "--host",
        "127.0.0.1",
      );
      try {
        assert.equal(shorten(await read(browser, `http://127.0.0.1:${port}/`)), told);
      } finally {
        server.stop();
      }
    });
  },
  ["Chromium"],
);

test.run();
