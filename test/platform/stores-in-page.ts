// Run in pages by web-cache.test.ts: what browsers have to keep downloads in, each by itself.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockStore } from "../../src/bytes/store.ts";
import { cacheStorageStore } from "../../src/platform/cache-storage.ts";
import { opfsStore } from "../../src/platform/opfs.ts";
import { webStore } from "../../src/platform/web-store.ts";
import { storeContract } from "../bytes/store-contract.ts";

const stores: Record<string, () => Promise<BlockStore | undefined>> = {
  OPFS: opfsStore,
  CacheStorage: cacheStorageStore,
};
const found: string[] = [];
for (const [name, open] of Object.entries(stores)) {
  if (!(await open())) continue;
  found.push(name);
  storeContract(name, async () => (await open())!);
}
console.log(`stores: ${found.join(", ")}`);

test("the first of them is used", async () => {
  assert.is((await webStore()).name, found[0] ?? "memory");
});

test.run();
