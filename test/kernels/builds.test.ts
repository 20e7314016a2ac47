// What each build is, and that it asks its host for nothing but memory.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ABI, NUMERICS } from "../../assembly/ops.ts";
import { builds, setting, wasm } from "./harness.ts";

for (const build of builds) {
  test(`${build} says which build and version it is`, () => {
    const { kernels } = setting(build);
    const relaxed = build.includes("relaxed");
    assert.is(kernels.features() & 3, (build.includes("threads") ? 1 : 0) + (relaxed ? 2 : 0));
    if (!relaxed) assert.is(kernels.features() & 4, 0);
    assert.is(kernels.abi(), ABI);
    assert.is(kernels.numerics(), NUMERICS);
  });

  test(`${build} imports one memory and nothing else, and exports functions`, () => {
    const module = new WebAssembly.Module(wasm(build));
    assert.equal(WebAssembly.Module.imports(module), [{ module: "env", name: "memory", kind: "memory" }]);
    const kinds = new Set(WebAssembly.Module.exports(module).map(({ kind }) => kind));
    assert.equal([...kinds].sort(), ["function", "memory"]);
  });
}

test("the builds that every runtime has to compile are compiled here", () => {
  assert.ok(builds.includes("plain") && builds.includes("plain-threads"));
});

test.run();
