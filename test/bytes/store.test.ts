// The store that is nothing but memory.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { memoryStore } from "../../src/bytes/store.ts";
import { storeContract } from "./store-contract.ts";

const store = memoryStore();
storeContract("memory", async () => store);

test("memory: has an end, and gives back what is deleted or replaced", async () => {
  const small = memoryStore(100);
  await small.write("a", "0", new Uint8Array(60), true);
  assert.is(await small.room!(), 40);
  const error = await small.write("a", "1", new Uint8Array(41)).catch((error) => error);
  assert.is(error.name, "QuotaExceededError");
  await small.write("a", "0", new Uint8Array(10));
  assert.is(await small.room!(), 90);
  await small.delete("a");
  assert.is(await small.room!(), 100);
});

test("memory: what is read or written is a copy", async () => {
  const bytes = new Uint8Array(10);
  await store.write("copy", "0", bytes, true);
  bytes[0] = 1;
  const read = (await store.read("copy", "0"))!;
  read[1] = 1;
  assert.equal(await store.read("copy", "0"), new Uint8Array(10));
});

test.run();
