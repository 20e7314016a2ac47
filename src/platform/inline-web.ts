/** Browsers, with all parts of the package inside the script: for pages that are one file, and scripts of other origins. */

import type { Platform } from "../engine/platform.ts";
import { kernels, workerScript, worldVocabulary } from "./embedded.ts";
import { webPlatform } from "./web.ts";

/** The workers' script; it is kept, as nothing says when the last worker has read it. */
let script: string | undefined;

export const platform: Platform = webPlatform({
  kernels,
  worldVocabulary,
  worker: () => {
    script ??= URL.createObjectURL(new Blob([workerScript()], { type: "text/javascript" }));
    return new Worker(script, { type: "module", name: "rwkv" });
  },
});
