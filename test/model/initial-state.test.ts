// Tuned states, and another epsilon of ln_x.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ModelSource } from "../../src/api/load.ts";
import { hashOf, open, parse } from "../engine/setup.ts";
import { refused } from "../refused.ts";
import { officialTensors } from "../weights/numbers.ts";
import { fixture } from "../weights/support.ts";
import { Oracle, type Weights } from "./oracle.ts";
import { F64, SlowRwkv7, tensorsOf } from "./rwkv7.ts";
import { type Kept, type Part, part, pthOf, safetensorsOf } from "./tuned.ts";

const [LAYERS, H, N, C] = [2, 2, 64, 128];
const PROMPT = [3, 141, 59, 26, 5];
const model = (version: string) => open({ threads: 0 }, `test/fixtures/v${version}.bf16.pth`);

/** A state for every layer, [head, value, key]. */
const states = (kept: Kept = "BFloat16", layers = LAYERS) =>
  Array.from({ length: layers }, (_, i) => part(`blocks.${i}.att.time_state`, [H, N, N], i + 1, 2, kept));

async function weightsOf(version: string): Promise<Weights> {
  const tensors = await officialTensors(version);
  return new Map(tensors.map(({ name, shape, values }) => [name, { shape, numbers: values }]));
}

const turned = (values: Float32Array) =>
  values.map((_, i) => values[i - (i % (N * N)) + (i % N) * N + (Math.floor(i / N) % N)]);

function near(found: Float32Array[], expected: ArrayLike<number>[]): void {
  found.forEach((row, t) => {
    row.forEach((x, i) => {
      const off = Math.abs(x - expected[t][i]);
      assert.ok(off < 2e-4, `token ${t}, logit ${i}: ${x} instead of ${expected[t][i]}`);
    });
  });
}

for (const version of ["5.0", "5.1", "5.2", "6"])
  test(`RWKV-${version} starts from a tuned state as float64 does`, async () => {
    const tuned = states();
    const oracle = new Oracle(await weightsOf(version), version, H);
    // Training has [value, key] where inference has [key, value].
    for (const [i, { values }] of tuned.entries())
      oracle.state.get(`blocks.${i}.att.S`)!.splice(0, C * N, ...turned(values));
    const expected = PROMPT.map((token) => oracle.step(token));
    const loaded = await model(version);
    const session = loaded.session(await loaded.initialState(pthOf(tuned)));
    assert.is(session.position, 0);
    near(await session.forward(PROMPT), expected);
    await loaded.close();
  });

test("RWKV-7 starts from a tuned state as float64 does", async () => {
  const tuned = states("Half");
  const slow = new SlowRwkv7(
    await tensorsOf(fixture("v7.f32.gguf") as Uint8Array<ArrayBuffer>),
    F64,
    N,
    tuned.map(({ values }) => values),
  );
  const expected = PROMPT.map((token) => slow.step(token));
  const loaded = await model("7");
  const session = loaded.session(await loaded.initialState(safetensorsOf(tuned)));
  near(await session.forward(PROMPT), expected);
  await loaded.close();
});

test("the numbers are the file's, whatever its type; what the session has not seen is zero", async () => {
  for (const version of ["5.2", "6", "7"]) {
    const loaded = await model(version);
    for (const kept of ["Float", "Half", "BFloat16"] as const) {
      const tuned = states(kept);
      const { header, parts } = parse(await loaded.initialState(new Blob([pthOf(tuned)])));
      assert.is(header.position, 0);
      for (const [name, numbers] of parts) {
        const layer = /^blocks\.(\d)\.att\.S$/.exec(name);
        if (!layer)
          assert.ok(
            numbers.every((x) => x === 0),
            name,
          );
        else {
          const { values } = tuned[Number(layer[1])];
          assert.equal(numbers, version === "7" ? values : turned(values), `${version} ${name}`);
        }
      }
    }
    await loaded.close();
  }
});

test("zeros are no state; a state is a value: sessions and forks of one do not disturb each other", async () => {
  const loaded = await model("7");
  const none = states().map((one) => ({ ...one, values: one.values.fill(0) }));
  const plain = hashOf(await loaded.forward(PROMPT));
  const forward = async (bytes: Uint8Array) => hashOf(await loaded.session(bytes).forward(PROMPT));
  assert.is(await forward(await loaded.initialState(pthOf(none))), plain);
  const bytes = await loaded.initialState(pthOf(states()));
  const first = loaded.session(bytes);
  const fork = first.fork();
  const tuned = hashOf(await first.forward(PROMPT));
  assert.is.not(tuned, plain);
  assert.is(await forward(bytes), tuned);
  assert.is(hashOf(await fork.forward(PROMPT)), tuned);
  assert.equal(await loaded.session(bytes).save(), bytes);
  await loaded.close();
});

test("other tensors of the file do not matter: a state may lie in a whole checkpoint", async () => {
  const tuned = states();
  const rest = (await officialTensors("7")).map(
    ({ name, shape, values }): Part => ({ name, shape, values, kept: "Float" }),
  );
  const both = pthOf([...rest, ...tuned, part("something.else", [3], 1)]);
  const loaded = await open({ threads: 0 }, both);
  assert.equal(loaded.info.unknownTensors, [...tuned.map(({ name }) => name), "something.else"]);
  assert.equal(await loaded.initialState(both), await loaded.initialState(pthOf(tuned)));
  await loaded.close();
});

test("states that do not fit are refused by name", async () => {
  const loaded = await model("7");
  const trying = (parts: Part[]) => loaded.initialState(pthOf(parts));
  const [first, second, third] = states("Float", 3);
  const nan = { ...second, values: second.values.map((x, i) => (i === 77 ? Number.NaN : x)) };
  await refused(trying([first]), "weights", /lacks blocks\.1\.att\.time_state: the model has 2 layers/);
  await refused(trying([first, second, third]), "weights", /holds blocks\.2\.att\.time_state.*another model/);
  await refused(trying([first, nan]), "weights", /an infinity or a NaN in blocks\.1\.att\.time_state/);
  for (const shape of [[4, 32, 64], [2, 128, 32], [8192]])
    await refused(trying([{ ...first, shape }, second]), "weights", /blocks\.0\.att\.time_state/);
  await refused(trying([part("blocks.0.att.key.lora_A", [2, 128], 1)]), "weights", /holds no tuned state/);
  await refused(loaded.initialState("test/fixtures/v7.f32.gguf"), "unsupported", /states are read from \.pth/);
  await refused(
    loaded.initialState(5 as never as ModelSource),
    "input",
    /The source of a state must be a path, .*, not 5/,
  );
  const stop = AbortSignal.abort("enough");
  assert.is(await loaded.initialState(pthOf(states()), { signal: stop }).catch((error) => error), "enough");
  await loaded.close();
  const four = await model("4");
  await refused(four.initialState(pthOf(states())), "unsupported", /RWKV-4 has no state that could be tuned/);
  await four.close();
});

// --- lnXEpsilon --------------------------------------------------------------------------------------------------------

test("lnXEpsilon: an RWKV-5 as rwkv.cpp means it", async () => {
  const { prompt, vocab, logits } = JSON.parse(readFileSync("test/fixtures/v5.2.ggmf.expected.json", "utf8"));
  const all = new Float32Array(new Uint8Array(Buffer.from(logits, "base64")).buffer);
  const loaded = await open({ threads: 0, lnXEpsilon: 1e-5 }, "test/fixtures/v5.2.bf16.pth");
  const expected = prompt.map((_: number, t: number) => all.subarray(t * vocab, (t + 1) * vocab));
  near(await loaded.forward(prompt), expected);
  assert.is(loaded.info.lnXEpsilon, 1e-5);
  await loaded.close();
});

test("lnXEpsilon: the default is 64e-5, in version 7 too", async () => {
  const look = async (lnXEpsilon?: number) => {
    const loaded = await open({ threads: 0, lnXEpsilon }, "test/fixtures/v7.f32.gguf");
    const { info } = loaded;
    const hash = hashOf(await loaded.forward(PROMPT));
    await loaded.close();
    return { hash, epsilon: info.lnXEpsilon };
  };
  const plain = await look();
  assert.ok(Math.abs(plain.epsilon! - 64e-5) < 1e-9);
  assert.is((await look(64e-5)).hash, plain.hash);
  assert.is.not((await look(1e-2)).hash, plain.hash);
});

test("lnXEpsilon: what it cannot be, and where there is none", async () => {
  for (const lnXEpsilon of [
    0,
    -1e-5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1e-60,
    1e60,
    "1e-5" as never,
    null as never,
  ])
    await refused(open({ threads: 0, lnXEpsilon }), "input", /lnXEpsilon must be a number above 0/);
  const four = open({ threads: 0, lnXEpsilon: 1e-5 }, "test/fixtures/v4.bf16.pth");
  await refused(four, "input", /v4\.bf16\.pth is an RWKV-4, which has no ln_x/);
  const loaded = await model("4");
  assert.is("lnXEpsilon" in loaded.info, false);
  await loaded.close();
});

test.run();
