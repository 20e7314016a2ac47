// Decides what one test file's run amounts to. uvu alone does not say: a file that forgets `test.run()` ends quietly
// with code 0, and so does one whose `before` hook throws.
import { stripVTControlCharacters } from "node:util";
import type { Finished } from "../program.ts";

export interface Verdict {
  passed: number;
  failed: number;
  skipped: number;
  /** Why the file as a whole is not all right, when no single test says it. Counts as one failure. */
  reason?: string;
}

/** Adds up one line of uvu's summaries: a file may hold several, for instance of suites that each run by themselves. */
function sum(output: string, label: string): number {
  const lines = output.matchAll(new RegExp(`^ *${label}: +(\\d+)$`, "gm"));
  return [...lines].reduce((total, [, count]) => total + Number(count), 0);
}

/** Judges a finished test program by its output, its exit code and its manners. */
export function judge({ output, code, timedOut, seconds }: Finished): Verdict {
  const text = stripVTControlCharacters(output);
  const passed = sum(text, "Passed");
  const failed = sum(text, "Total") - passed;
  const skipped = sum(text, "Skipped");
  const because = (reason: string): Verdict => ({ passed, failed: failed + 1, skipped, reason });
  if (timedOut) return because(`did not end within ${seconds.toFixed(0)} s`);
  if (!/^ *Total: /m.test(text)) return because(`printed no summary (is test.run() missing?), exit code ${code}`);
  // Leaving everything out is all right for whoever says why: a browser may not be installed.
  const excused = skipped > 0 && /^Skipped: \D/m.test(text);
  if (passed + failed === 0 && !excused) return because("ran no test");
  if (failed === 0 && code !== 0) return because(`exit code ${code}, though every test passed`);
  return { passed, failed, skipped };
}

/** `N passed, N failed`, and `, N skipped` when there are any. */
export function tally({ passed, failed, skipped }: Verdict): string {
  return `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`;
}
