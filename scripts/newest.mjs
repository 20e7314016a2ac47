// How old things are, for deciding what to build again. Plain JavaScript: `npm start` loads it before anything is built.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * When the youngest of these files and folders last changed, in milliseconds; folders count with all they hold, and
 * with their own date, which moves when a file is deleted. What does not exist counts as 0.
 * @param {string[]} paths
 * @returns {number}
 */
export function newest(paths) {
  let time = 0;
  for (const path of paths) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) continue;
    time = Math.max(time, stat.mtimeMs);
    if (stat.isDirectory()) time = Math.max(time, newest(readdirSync(path).map((name) => join(path, name))));
  }
  return time;
}
