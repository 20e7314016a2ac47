/** How an engine runs where one build of the kernels was given: whether that shares its memory, decides. */

import { RwkvError } from "../errors.ts";
import type { Arrangement } from "./host.ts";
import type { Build } from "./kernels.ts";
import type { Platform } from "./platform.ts";

/** `teams`: whether workers can share memory here. Throws `input` where the build is not the one wanted, or cannot run here. */
export function arrangeOnly(
  { spawn }: Platform,
  only: Build,
  { threads, build, teams }: { threads: number; build: string; teams: boolean },
): Arrangement {
  if (build !== "auto" && !only.startsWith(build)) {
    throw new RwkvError(
      "input",
      `The kernels given are the build ${only}, and \`build\` is ${build}. Leave \`build\` out.`,
    );
  }
  if (!only.endsWith("-threads")) {
    return { mode: threads === 0 || !spawn ? "inline" : "worker", build: only, threads: 1 };
  }
  if (threads === 0 || !teams) {
    const why = threads === 0 ? "threads is 0" : "this runtime shares no memory between workers";
    throw new RwkvError("input", `The kernels given are the build ${only}, but ${why}: give plain or relaxed.`);
  }
  return { mode: "team", build: only, threads };
}
