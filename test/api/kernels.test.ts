// The option `kernels`: one build as a module, bytes or where it is, or a function; and what is refused.
import { type Build, convert, type KernelsOption, type LoadOptions, load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { at, bytesAt } from "../files.ts";
import { refused } from "../refused.ts";
import { hashOf, ids, open } from "./setup.ts";

const pathOf = (build: Build) => at(`dist/kernels/${build}.wasm`);
const plain = await bytesAt("dist/kernels/plain.wasm");
const threads = await bytesAt("dist/kernels/plain-threads.wasm");
const model = await bytesAt("test/fixtures/v7.f32.gguf");

/** How it runs, and what comes out. */
async function run(kernels?: KernelsOption, options: LoadOptions = {}): Promise<[how: string, logits: string]> {
  const model = await open({ kernels, ...options });
  const { mode, build, threads } = model.info;
  const logits = hashOf(await model.forward(ids(40)));
  await model.close();
  return [`${mode} ${build} ${threads}`, logits];
}

const [, logits] = await run(undefined, { threads: 0 });
const usual = await open();
const { mode } = usual.info;
await usual.close();

/** Where nothing can be compiled, bytes are refused with a sentence that says so. */
const compiles = await WebAssembly.compile(plain).then(
  () => true,
  () => false,
);

if (compiles) {
  const alone = [`${mode === "inline" ? "inline" : "worker"} plain 1`, logits];

  test("a build without threads runs in one worker, or beside the caller", async () => {
    assert.equal(await run(await WebAssembly.compile(plain)), alone);
    assert.equal(await run(plain, { threads: 4 }), alone);
    assert.equal(await run(plain.slice().buffer), alone);
    assert.equal(await run(pathOf("plain")), alone);
    assert.equal(await run(plain, { threads: 0 }), ["inline plain 1", logits]);
  });

  test("a build with threads wants a team", async () => {
    if (mode === "team") assert.equal(await run(threads, { threads: 2 }), ["team plain-threads 2", logits]);
    else await refused(open({ kernels: threads }), "input", /shares no memory between workers|cannot be compiled here/);
    await refused(open({ kernels: threads, threads: 0 }), "input", /but threads is 0/);
  });

  test("a function is asked for the build that is wanted", async () => {
    const asked: Build[] = [];
    const give = async (build: Build) => {
      asked.push(build);
      return pathOf(build);
    };
    const [how, found] = await run(give, { build: "plain" });
    assert.equal([how, found], [`${mode} ${asked[0]} ${mode === "team" ? 2 : 1}`, logits]);
    assert.equal(asked, [mode === "team" ? "plain-threads" : "plain"]);
    assert.equal(await run(() => plain, { threads: 0, build: "plain" }), ["inline plain 1", logits]);
  });

  test("what else uses kernels uses those that are given", async () => {
    const asked: Build[] = [];
    const give = (build: Build) => {
      asked.push(build);
      return plain;
    };
    const sink = { write: async () => {} };
    await convert(model, sink, { type: "q8_0", kernels: give });
    assert.equal(asked, ["plain"]);
    await convert(model, sink, { type: "q8_0", kernels: plain });
    if (mode === "team") await convert(model, sink, { type: "q8_0", kernels: threads });
  });

  test("what is no build of the kernels, or not the one that is wanted", async () => {
    const other = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
    await refused(open({ kernels: other }), "engine", /of another version/);
    // One import, `a.b`, which nobody gives.
    const wanting = Uint8Array.of(...other, 1, 4, 1, 0x60, 0, 0, 2, 7, 1, 1, 0x61, 1, 0x62, 0, 0);
    await refused(open({ kernels: wanting }), "input", /none of rwkv-wasm's kernels/);
    await refused(open({ kernels: plain.subarray(0, 1000) }), "input", /cannot be compiled here/);
    await refused(open({ kernels: () => threads, threads: 0 }), "input", /the build plain-threads when asked for/);
    await refused(open({ kernels: plain, build: "relaxed" }), "input", /build plain, and `build` is relaxed/);
    const thrown = await open({ kernels: () => Promise.reject(new RangeError("mine")) }).catch((error) => error);
    assert.instance(thrown, RangeError);
  });
} else {
  test("where nothing is compiled, bytes are refused", async () => {
    await refused(open({ kernels: plain }), "input", /cannot be compiled here/);
  });
}

test("what cannot be kernels", async () => {
  await refused(open({ kernels: 5 as never }), "input", /kernels must be a WebAssembly\.Module/);
  await refused(open({ kernels: (() => undefined) as never }), "input", /kernels must be/);
  const error = await open({ kernels: at("none.wasm") }).catch((error) => error);
  assert.match(`${error.code}: ${error.message}`, /^(input|network): .*none\.wasm/);
});

test("without the option, the package's own are used", async () => {
  const model = await load(new Blob([await bytesAt("test/fixtures/v7.f32.gguf")]), { threads: 0 });
  assert.is(hashOf(await model.forward(ids(40))), logits);
  await model.close();
});

test.run();
