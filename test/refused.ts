import * as assert from "uvu/assert";
import { type ErrorCode, RwkvError } from "../src/errors.ts";

/** Passes if the promise is rejected with an RwkvError of this code, whose message matches every pattern. */
export async function refused(promise: Promise<unknown>, code: ErrorCode, ...patterns: RegExp[]): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof RwkvError))
    throw error ?? new Error(`nothing was thrown; expected ${code} ${patterns.join(" ")}`);
  assert.is(error.code, code, error.message);
  for (const pattern of patterns) assert.match(error.message, pattern);
}
