// What callers hand in beside prompts: names of options, signals and callbacks, for everything that takes any.
import { convert, inspect, load, type Model, type Session } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { at } from "../files.ts";
import { refused } from "../refused.ts";
import { open, standing, standingAfter, V7 } from "./setup.ts";

const model = await open();
const session = model.session();
test.after(() => model.close());

const sink = { write: async () => {} };
type Work = (options: never) => unknown;
/** All that takes options, by the name that its messages use. */
const TAKING: [of: string, work: Work][] = [
  ["load", (options) => load(at(V7), options)],
  ["inspect", (options) => inspect(at(V7), options)],
  ["convert", (options) => convert(at(V7), sink, options)],
  ["generate", (options) => model.generate([1], options)],
  ["generate", (options) => session.generate([1], options)],
  ["candidates", (options) => model.candidates([1], options)],
  ["candidates", (options) => session.candidates([1], options)],
  ["score", (options) => model.score([1], [[2]], options)],
  ["score", (options) => session.score([[2]], options)],
  ["feed", (options) => session.feed([1], options)],
  ["forward", (options) => session.forward([1], options)],
  ["forward", (options) => model.forward([1], undefined, options)],
  ["perplexity", (options) => model.perplexity([1, 2], options)],
  ["embed", (options) => model.embed([1], options)],
  ["initialState", (options) => model.initialState(at(V7), options)],
];

/** Passes if every one refuses the options, and the session is where it was. */
async function allRefuse(options: unknown, said: (of: string) => RegExp, taking = TAKING): Promise<void> {
  for (const [of, work] of taking) {
    const asked = Promise.resolve(options as never).then(work);
    await refused(asked, "input", said(of)).catch((error) => {
      throw new Error(`${of}: ${error.message}`);
    });
  }
  assert.is(session.position, 0);
}

test("options that are no object", async () => {
  for (const [value, said] of [
    [null, "null"],
    [5, "5"],
    ["greedy", '"greedy"'],
    [[], "an array"],
    [() => {}, "a function"],
  ] as const)
    await allRefuse(value, (of) => new RegExp(`^The options of ${of} must be an object .*, not ${said}\\.$`));
});

test("options that there are not", async () => {
  await allRefuse({ tempature: 0 }, (of) => new RegExp(`^The options of ${of} must be .*; it has no "tempature"\\.$`));
  await allRefuse({ toString: 0 }, () => /it has no "toString"/);
  for (const options of [{ n: 3 }, { bestOf: 3 }])
    await allRefuse(options, () => /n and bestOf are options of candidates/, TAKING.slice(3, 5));
  await allRefuse({ echo: true }, () => /no echo/, TAKING.slice(5, 7));
  await refused(load(at(V7), { lora: { source: at(V7), alpah: 8 } as never }), "input", /lora must be .* no "alpah"/);
});

test("signals that are none: an error, and whatever waits for it ends", async () => {
  const half = { addEventListener() {}, throwIfAborted: 1 };
  for (const [signal, said] of [
    [new AbortController(), "an object"],
    [5, "5"],
    [null, "null"],
    [half, "an object"],
  ] as const)
    await allRefuse({ signal }, () => new RegExp(`^signal must be an AbortSignal, not ${said}\\.$`));
});

test("a signal that throws when it is let go cannot keep a generation from its end", async () => {
  const signal = new AbortController().signal;
  signal.removeEventListener = () => {
    throw new Error("odd");
  };
  const generation = model.generate([1], { signal, maxTokens: 3 });
  const error = await generation.result.then(
    () => undefined,
    (reason: Error) => reason,
  );
  assert.is(error?.message, "odd");
});

test("callbacks that are none", async () => {
  const calls: Work[] = [
    () => load(at(V7), { onProgress: 5 as never }),
    () => load(at(V7), { onWarning: "say" as never }),
    () => session.feed([1], { onProgress: 5 as never }),
    () => model.perplexity([1, 2], { onProgress: {} as never }),
    () => model.candidates([1], { n: 2, onPart: 5 as never }),
  ];
  for (const [i, work] of calls.entries())
    await refused(Promise.resolve().then(work as () => unknown), "input", /^on[A-Z]\w+ must be a function, not /).catch(
      (error) => {
        throw new Error(`call ${i}: ${error.message}`);
      },
    );
  assert.is(session.position, 0);
});

test("what is no session, no sink, no source is named", async () => {
  const { signal } = new AbortController();
  await refused(
    model.forward([1], { signal } as never),
    "input",
    /second argument of forward is a session, not an object/,
  );
  await refused(model.forward([1], null as never), "input", /is a session, not null/);
  for (const to of [undefined, {}, "file", null])
    await refused(convert(at(V7), to as never), "input", /^convert writes to an object with a function write/);
  await refused(model.initialState(undefined as never), "input", /^The source of a state must be .* not undefined/);
  await refused(load(at(V7), { lora: {} as never }), "input", /^lora\.source must be .* not undefined/);
  await refused(load(5 as never), "input", /^The source of a model must be .* not 5/);
  for (const saved of [null, 0, ""])
    await refused(
      Promise.resolve(saved as never).then((one) => model.session(one)),
      "state",
      /not a Uint8Array/,
    );
});

test("stop: which of the strings is wrong, or how many there are", async () => {
  const stopping = (stop: unknown) => Promise.resolve().then(() => model.generate([1], { stop: stop as string[] }));
  await refused(stopping(["a", 5]), "input", /^stop must be strings; item 1 is 5\.$/);
  await refused(stopping(new Array(2)), "input", /item 0 is undefined/);
  await refused(stopping(Array(65).fill("a")), "input", /at most 64 strings, not 65 of them\.$/);
  await refused(stopping(5), "input", /at most 64 strings, not 5\.$/);
});

test("strings are shown as strings where numbers and names are wanted", async () => {
  for (const option of ["threads", "weights", "build", "sessions", "lnXEpsilon"])
    await refused(load(at(V7), { [option]: "2" }), "input", new RegExp(`^${option} must be .*, not "2"\\.$`));
  for (const option of ["container", "type"])
    await refused(convert(at(V7), sink, { [option]: "2" }), "input", new RegExp(`^${option} must be .*, not "2"\\.$`));
  for (const option of ["alpha", "strength"])
    await refused(load(at(V7), { lora: { source: "", [option]: "2" } }), "input", /^lora\.\w+ must be .*, not "2"\.$/);
});

test("all of that has left the session as it was", async () => {
  const used: Pick<Session, "feed" | "save"> = session;
  await used.feed([1, 2]);
  assert.is(await standing(used), await standingAfter(model as Model, [1, 2]));
});

test.run();
