// What every place that keeps downloads has to do, wherever it is: as tests, for each of them.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockStore } from "../../src/bytes/store.ts";
import { same, someBytes } from "./bytes.ts";

/** Registers the tests. `make`: opens the store; twice the same one. */
export function storeContract(name: string, make: () => Promise<BlockStore>): void {
  const fresh = async () => {
    const store = await make();
    for (const entry of await store.entries()) await store.delete(entry);
    return store;
  };
  const bytes = someBytes(100_000);

  test(`${name}: what was written is read, by another that opens it too`, async () => {
    const store = await fresh();
    await store.write("a-b-c", "meta", bytes.slice(0, 5), true);
    await store.write("a-b-c", "0", bytes);
    await store.write("a-b-c", "1", bytes.slice(0, 0));
    for (const each of [store, await make()]) {
      assert.equal(await each.entries(), ["a-b-c"]);
      assert.equal([...(await each.files("a-b-c"))].sort(), [
        ["0", 100_000],
        ["1", 0],
        ["meta", 5],
      ]);
      const read = (await each.read("a-b-c", "0"))!;
      same(read, bytes);
      assert.is(read.buffer.byteLength, bytes.length);
      same((await each.read("a-b-c", "1"))!, bytes.slice(0, 0));
    }
  });

  test(`${name}: what is not there`, async () => {
    const store = await fresh();
    assert.equal(await store.entries(), []);
    assert.equal([...(await store.files("a"))], []);
    assert.is(await store.read("a", "0"), undefined);
    await store.write("a", "meta", bytes, true);
    assert.is(await store.read("a", "0"), undefined);
    await store.delete("b");
  });

  test(`${name}: writing again replaces the whole file`, async () => {
    const store = await fresh();
    await store.write("a", "0", bytes, true);
    await store.write("a", "0", bytes.slice(7, 17), true);
    same((await store.read("a", "0"))!, bytes.slice(7, 17));
  });

  test(`${name}: an entry that was deleted is not written any more, unless it is made anew`, async () => {
    const store = await fresh();
    await store.write("a", "meta", bytes, true);
    await store.write("b", "meta", bytes, true);
    await store.delete("a");
    assert.equal(await store.entries(), ["b"]);
    assert.is(await store.read("a", "meta"), undefined);
    const error = await store.write("a", "0", bytes).catch((error) => error);
    assert.instance(error, Error);
    assert.equal(await store.entries(), ["b"]);
    await store.write("a", "meta", bytes, true);
    assert.equal((await store.entries()).sort(), ["a", "b"]);
  });

  test(`${name}: many write the same file at once, while others read it`, async () => {
    const store = await fresh();
    const another = await make();
    await store.write("a", "0", bytes, true);
    const work: Promise<void>[] = [];
    for (let i = 0; i < 10; i++) {
      work.push((i % 2 ? store : another).write("a", "0", bytes));
      // A file that is being replaced is the old one or the new one, or for a moment cannot be read, but never half of each.
      work.push(
        store.read("a", "0").then(
          (read) => same(read!, bytes),
          () => {},
        ),
      );
    }
    await Promise.all(work);
    same((await store.read("a", "0"))!, bytes);
    assert.equal([...(await store.files("a")).keys()], ["0"]);
  });

  test(`${name}: says how much room there is`, async () => {
    const room = await (await fresh()).room?.();
    assert.ok(room === undefined || (Number.isSafeInteger(room) && room > 1_000_000), `${room}`);
  });
}
