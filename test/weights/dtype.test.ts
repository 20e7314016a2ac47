import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesOf, DTYPES, dtypeName, dtypeOf } from "../../src/weights/dtype.ts";

test("a type's number leads back to it", () => {
  for (const [dtype, { id }] of Object.entries(DTYPES)) {
    assert.is(dtypeOf(id), dtype);
    assert.is(dtypeName(id), dtype);
  }
});

test("types that are not read here have names, unknown numbers are shown", () => {
  assert.is(dtypeOf(16), undefined);
  assert.is(dtypeName(16), "iq2_xxs");
  assert.is(dtypeOf(777), undefined);
  assert.is(dtypeName(777), "number 777");
});

test("bytesOf counts whole blocks only, and nothing beyond exact integers", () => {
  assert.is(bytesOf("f32", 3), 12);
  assert.is(bytesOf("bf16", 3), 6);
  assert.is(bytesOf("q8_0", 64), 68);
  assert.is(bytesOf("q4_k", 512), 288);
  assert.is(bytesOf("q8_0", 0), 0);
  assert.is(bytesOf("q8_0", 33), undefined);
  assert.is(bytesOf("f16", 1.5), undefined);
  assert.is(bytesOf("f16", -2), undefined);
  assert.is(bytesOf("f32", 2 ** 52), undefined);
  assert.is(bytesOf("f32", Number.POSITIVE_INFINITY), undefined);
});

test.run();
