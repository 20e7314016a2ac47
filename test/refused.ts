import * as assert from "uvu/assert";
import type { ErrorCode, RwkvError } from "../src/errors.ts";

/** Passes if the promise is rejected with an RwkvError of this code, whose message matches every pattern. */
export async function refused(promise: Promise<unknown>, code: ErrorCode, ...patterns: RegExp[]): Promise<void> {
  const error: RwkvError | undefined = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  // By its name: what is tested may be the sources or the built package, which have a class each.
  if (error?.name !== "RwkvError")
    throw error ?? new Error(`nothing was thrown; expected ${code} ${patterns.join(" ")}`);
  assert.is(error.code, code, error.message);
  for (const pattern of patterns) assert.match(error.message, pattern);
}
