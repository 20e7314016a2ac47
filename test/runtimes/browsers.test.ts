// The suite in pages of browsers, with and without shared memory.
import { test } from "uvu";
import { packed } from "../../scripts/packed.ts";
import { inBrowsers, runInPage } from "./browsers.ts";
import { bundleTests } from "./bundle.ts";
import { serve } from "./site.ts";
import { conform, names, RUNS } from "./suite.ts";

const outdir = "build/everywhere/pages";
await bundleTests(names, outdir, { address: `/${packed().folder}/dist/web.js` }, { runs: RUNS });
await inBrowsers((browser, kind) => {
  for (const isolated of [true, false]) {
    const name = `${kind}, ${isolated ? "cross-origin isolated" : "not isolated"}`;
    test(name, async () => {
      const site = await serve(isolated);
      try {
        await conform({ name, run: (file, limit) => runInPage(browser, site, file, limit) }, outdir);
      } finally {
        await site.close();
      }
    });
  }
});

test.run();
