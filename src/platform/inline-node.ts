/** Node, Deno and Bun, with all parts of the package inside the program: for programs that are one file. */

import { Worker } from "node:worker_threads";
import type { Platform } from "../engine/platform.ts";
import { kernels, workerScript, worldVocabulary } from "./embedded.ts";
import { nodePlatform } from "./node.ts";

export const platform: Platform = nodePlatform({
  kernels,
  worldVocabulary,
  worker: () => {
    const script = new URL(`data:text/javascript,${encodeURIComponent(workerScript())}`);
    return new Worker(script, { name: "rwkv", execArgv: [] });
  },
});
