import * as assert from "uvu/assert";
import { type ErrorCode, RwkvError } from "../../src/errors.ts";

/** Passes if the call throws an RwkvError of this code, whose message matches every pattern. */
export function wrong(call: () => unknown, code: ErrorCode, ...patterns: RegExp[]): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof RwkvError)) throw error;
    assert.is(error.code, code, error.message);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return;
  }
  assert.unreachable(`nothing was thrown; expected ${code} ${patterns.join(" ")}`);
}
