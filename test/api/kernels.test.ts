// The option `kernels`: one build as a module, bytes or where it is, or a function; and what is refused.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { type Build, convert, type KernelsOption, type LoadOptions, load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { hashOf, ids, V7 } from "../engine/setup.ts";
import { refused } from "../refused.ts";

const path = (build: Build) => `dist/kernels/${build}.wasm`;
const bytes = (build: Build) => new Uint8Array(readFileSync(path(build)));

/** How it runs, and what comes out. */
async function run(kernels?: KernelsOption, options: LoadOptions = {}): Promise<{ how: string; logits: string }> {
  const model = await load(V7, { kernels, ...options });
  const { mode, build, threads } = model.info;
  const logits = hashOf(await model.forward(ids(40)));
  await model.close();
  return { how: `${mode} ${build} ${threads}`, logits };
}

const { logits } = await run(undefined, { threads: 0 });

test("a build decides how the model runs", async () => {
  const plain = { how: "worker plain 1", logits };
  assert.equal(await run(await WebAssembly.compile(bytes("plain"))), plain);
  assert.equal(await run(bytes("plain"), { threads: 4 }), plain);
  assert.equal(await run(bytes("plain").buffer), plain);
  assert.equal(await run(path("plain")), plain);
  assert.equal(await run(pathToFileURL(path("plain"))), plain);
  assert.equal(await run(bytes("plain"), { threads: 0 }), { how: "inline plain 1", logits });
  assert.equal(await run(bytes("plain-threads"), { threads: 2 }), { how: "team plain-threads 2", logits });
});

test("a function is asked for the build that is wanted", async () => {
  const asked: Build[] = [];
  const give = async (build: Build) => {
    asked.push(build);
    return path(build);
  };
  assert.equal(await run(give, { threads: 2, build: "plain" }), { how: "team plain-threads 2", logits });
  assert.equal(await run((build) => bytes(build), { threads: 0, build: "plain" }), { how: "inline plain 1", logits });
  assert.equal(asked, ["plain-threads"]);
});

test("what else uses kernels uses those that are given", async () => {
  const given: Build[] = [];
  const kernels = (build: Build) => {
    given.push(build);
    return bytes(build);
  };
  await convert(V7, { write: async () => {} }, { type: "q8_0", kernels });
  assert.equal(given, ["plain"]);
  for (const build of ["plain", "plain-threads"] as const)
    await convert(V7, { write: async () => {} }, { type: "q8_0", kernels: bytes(build) });
});

test("what is no build of the kernels, or not the one that is wanted", async () => {
  const other = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  await refused(load(V7, { kernels: other }), "engine", /of another version/);
  // One import, `a.b`, which nobody gives.
  const wanting = Uint8Array.of(...other, 1, 4, 1, 0x60, 0, 0, 2, 7, 1, 1, 0x61, 1, 0x62, 0, 0);
  await refused(load(V7, { kernels: wanting }), "input", /none of rwkv-wasm's kernels/);
  await refused(load(V7, { kernels: bytes("plain").subarray(0, 1000) }), "input", /cannot be compiled here/);
  await refused(load(V7, { kernels: "none.wasm" }), "input", /none\.wasm cannot be opened/);
  await refused(load(V7, { kernels: 5 as never }), "input", /kernels must be a WebAssembly\.Module/);
  await refused(load(V7, { kernels: (() => undefined) as never }), "input", /kernels must be/);
  await refused(load(V7, { kernels: () => bytes("plain"), threads: 2 }), "input", /the build plain when asked for/);
  await refused(
    load(V7, { kernels: bytes("plain"), build: "relaxed" }),
    "input",
    /build plain, and `build` is relaxed/,
  );
  await refused(load(V7, { kernels: bytes("plain-threads"), threads: 0 }), "input", /but threads is 0/);
  const thrown = await load(V7, { kernels: () => Promise.reject(new RangeError("mine")) }).catch((error) => error);
  assert.instance(thrown, RangeError);
});

test.run();
