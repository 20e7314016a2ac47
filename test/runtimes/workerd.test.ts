// The suite in Cloudflare's workerd.
import { test } from "uvu";
import { packed } from "../../scripts/packed.ts";
import { names as exported } from "../package/exports.ts";
import { bundleTests } from "./bundle.ts";
import { serve } from "./site.ts";
import { conform, names, RUNS } from "./suite.ts";
import { runInWorkerd } from "./workerd.ts";

const outdir = "build/everywhere/workerd";
await bundleTests(names, outdir, { names: exported }, { runs: RUNS });

test("workerd", async () => {
  const site = await serve(false);
  try {
    const { folder } = packed();
    await conform({ name: "workerd", run: (file, limit) => runInWorkerd(site, file, limit, folder) }, outdir);
  } finally {
    await site.close();
  }
});

test.run();
