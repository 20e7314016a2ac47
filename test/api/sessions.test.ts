// Sessions: feeding, forking, saving, and what is refused.
import type { ErrorCode, Model } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refused } from "../refused.ts";
import { hashOf, ids, open, parse, standing, standingAfter } from "./setup.ts";

const model = await open();
test.after(() => model.close());

/** Passes if `work` throws at once. */
const thrown = (work: () => unknown, code: ErrorCode, ...patterns: RegExp[]) =>
  refused(Promise.resolve().then(work), code, ...patterns);

const greedy = { temperature: 0, maxTokens: 12, stopTokens: [] };

test("text and its ids are the same prompt; text at the very start follows the start token", async () => {
  const { tokenizer } = model;
  assert.is(tokenizer.bos, 0);
  const [text, tokens] = [model.session(), model.session()];
  assert.is(await text.feed("Grüße"), 8);
  assert.is(await tokens.feed([0, ...tokenizer.encode("Grüße")]), 8);
  assert.is(await standing(text), await standing(tokens));
  assert.is(await text.feed(" 大"), 12);
  assert.is(await tokens.feed(Uint32Array.from(tokenizer.encode(" 大"))), 12);
  assert.is(await standing(text), await standing(tokens));
  await text.close();
  await tokens.close();
});

test("nothing to feed, nothing to continue", async () => {
  const session = model.session();
  assert.is(await session.feed([]), 0);
  assert.equal(await session.forward([]), []);
  assert.equal(await model.forward([]), []);
  assert.is(session.position, 0);
  await thrown(() => session.generate(), "input", /nothing to continue/);
  await thrown(() => model.generate([]), "input", /nothing to continue/);
  // Empty text is the start token.
  assert.is(await session.feed(""), 1);
  assert.is(await session.feed(""), 1);
  assert.is((await session.generate([], greedy).result).promptTokens, 0);
  assert.is((await model.generate("", greedy).result).promptTokens, 1);
  await session.close();
});

test("prompts that are none", async () => {
  const session = model.session();
  await refused(session.feed("half a \ud83d pair"), "input", /surrogate/);
  await thrown(() => session.generate("\udc00"), "input", /surrogate/);
  for (const [id, said] of [
    [260, /Token 1 of the prompt is 260; the model knows 0 to 259/],
    [-1, /is -1/],
    [1.5, /is 1\.5/],
    [Number.NaN, /is NaN/],
    ["7", /is 7/],
    [undefined, /is undefined/],
  ] as const) {
    await refused(session.feed([5, id as number]), "input", said);
    await thrown(() => session.generate([5, id as number]), "input", said);
    await refused(session.forward([5, id as number]), "input", said);
    await refused(model.forward([5, id as number]), "input", said);
  }
  await refused(session.feed(new Array(3)), "input", /Token 0/);
  for (const wrong of [5, null, undefined, {}, new Uint8Array(3)])
    await refused(session.feed(wrong as never), "input", /string or an array of token ids/);
  assert.is(session.position, 0);
  assert.is(await session.feed([5]), 1);
  await session.close();
});

test("logits come for every token, and are the same in any company", async () => {
  const tokens = ids(50);
  const whole = await model.forward(tokens);
  assert.equal([...new Set(whole.map((row) => row.length))], [260]);
  const session = model.session();
  const parts = [
    ...(await session.forward(tokens.slice(0, 3))),
    ...(await model.forward(tokens.slice(3, 20), session)),
    ...(await session.forward(Uint32Array.from(tokens.slice(20)))),
  ];
  assert.is(hashOf(parts), hashOf(whole));
  assert.is(session.position, 50);
  assert.is(await standing(session), await standingAfter(model, tokens));
  await session.close();
});

test("a fork stands where its source stood, and each goes its way", async () => {
  const session = model.session();
  await session.feed(ids(20));
  const [same, other, third] = [session.fork(), session.fork(), session.fork()];
  assert.equal([same.position, other.position], [20, 20]);
  const text = await session.generate([], greedy).text();
  assert.is(await same.generate([], greedy).text(), text);
  assert.is(await standing(same), await standing(session));
  await other.feed([99]);
  assert.is(await standing(other), await standingAfter(model, [...ids(20), 99]));
  // A fork outlives its source, and can be forked before anything happened to it.
  await session.close();
  const fourth = third.fork();
  await third.close();
  assert.is(await fourth.generate([], greedy).text(), text);
  const fresh = model.session().fork();
  assert.is(fresh.position, 0);
  for (const one of [same, other, fourth, fresh]) await one.close();
});

test("a saved state goes on with the same bits: here, with other threads, in other weights of the model", async () => {
  const session = model.session();
  await session.feed(ids(33));
  const saved = await session.save();
  const { header, parts } = parse(saved);
  assert.is(header.position, 33);
  assert.equal(
    [...parts.keys()],
    [0, 1].flatMap((i) => ["att.shift", "att.S", "ffn.shift"].map((name) => `blocks.${i}.${name}`)).concat("hidden"),
  );
  const text = await session.generate([], greedy).text();
  const end = await standing(session);
  const again = model.session(saved);
  assert.is(again.position, 33);
  assert.equal(await again.save(), saved);
  assert.is(await again.generate([], greedy).text(), text);
  assert.is(await standing(again), end);
  const inline = await open({ threads: 0 });
  // As part of a larger array, at an address that is no multiple of 4.
  const larger = new Uint8Array(saved.length + 9);
  larger.set(saved, 5);
  const third = inline.session(larger.subarray(5, 5 + saved.length));
  assert.is(await third.generate([], greedy).text(), text);
  assert.is(await standing(third), end);
  await inline.close();

  for (const file of ["v7.f16.gguf", "v7.q8_0.gguf"]) {
    const other = await open({}, `test/fixtures/${file}`);
    assert.is(other.info.fingerprint, model.info.fingerprint);
    const moved = other.session(saved);
    assert.equal(await moved.save(), saved);
    assert.is(await moved.feed([1]), 34);
    assert.is(await model.session(await moved.save()).feed([1]), 35);
    await other.close();
  }
  await session.close();
  await again.close();
});

test("saving while a generation runs gives the last commit", async () => {
  const session = model.session();
  const tokens: number[] = [];
  let saved: Uint8Array | undefined;
  for await (const { token } of session.generate(ids(4), { maxTokens: 3000, seed: 3, stopTokens: [] })) {
    tokens.push(token);
    if (tokens.length === 2) saved = await session.save();
  }
  assert.is(session.position, 3004);
  const again = model.session(saved!);
  assert.is(await standing(again), await standingAfter(model, [...ids(4), ...tokens].slice(0, again.position)));
  await session.close();
  await again.close();
});

test("states of another model, version or shape are refused by name", async () => {
  const stories = await open({ threads: 0 }, "weights/stories-7m.q8_0.gguf");
  const state = await stories.session().save();
  await thrown(() => model.session(state), "state", /another model/, /stories-7m/, /6 layers, width 256/);
  await stories.close();
});

test("every kind of damage to a state is found", async () => {
  const session = model.session();
  await session.feed(ids(8));
  const sound = await session.save();
  await session.close();
  const length = new DataView(sound.buffer).getUint32(8, true);
  const start = 12 + length;
  const header = JSON.parse(new TextDecoder().decode(sound.subarray(12, start)));

  /** The state with other bytes somewhere. */
  const put = (at: number, ...bytes: number[]) => {
    const copy = sound.slice();
    copy.set(bytes, at);
    return copy;
  };
  /** The state with another header. */
  const headed = (text: string) => {
    const json = new TextEncoder().encode(text);
    const bytes = new Uint8Array(12 + json.length + sound.length - start);
    bytes.set(sound.subarray(0, 12));
    new DataView(bytes.buffer).setUint32(8, json.length, true);
    bytes.set(json, 12);
    bytes.set(sound.subarray(start), 12 + json.length);
    return bytes;
  };
  const fields = (change: object) => headed(JSON.stringify({ ...header, ...change }));
  assert.is(model.session(fields({})).position, 8);

  const cases: [name: string, bytes: unknown, said: RegExp][] = [
    ["nothing", new Uint8Array(0), /does not begin/],
    ["too short", sound.slice(0, 11), /does not begin/],
    ["something else", put(0, 7, 7, 7, 7), /does not begin/],
    ["a text", "RWKVSTA2", /not a Uint8Array/],
    ["cut off in the header", sound.slice(0, 40), /cut off within its header/],
    ["a header of 4 GiB", put(8, 255, 255, 255, 255), /cut off within its header/],
    ["a header that is no JSON", put(12, 32, 32, 32), /header is damaged/],
    ["a header that is no UTF-8", put(20, 255, 255), /header is damaged/],
    ["null", headed("null"), /header is damaged/],
    ["a number", headed("12"), /header is damaged/],
    ["an empty list", headed("[]"), /header is damaged/],
    ["another fingerprint", fields({ fingerprint: "00000000" }), /another model/],
    ["another version", fields({ version: "6" }), /another model/],
    ["other numerics", fields({ numerics: 999 }), /numerics 999/],
    ["other parts", fields({ parts: header.parts.slice(1) }), /parts have other shapes/],
    ["no parts", fields({ parts: undefined }), /parts have other shapes/],
    ["a position below 0", fields({ position: -1 }), /position/],
    ["a position that is no count", fields({ position: 1.5 }), /position/],
    ["a position in words", fields({ position: "8" }), /position/],
    ["a position beyond counting", fields({ position: 2 ** 60 }), /position/],
    ["cut off", sound.slice(0, -1), /bytes of numbers instead of/],
    ["numbers missing", sound.slice(0, start), /holds 0 bytes of numbers/],
    ["too long", Uint8Array.of(...sound, 0, 0, 0, 0), /bytes of numbers instead of/],
    ["a bit in the first number", put(start, sound[start] ^ 1), /checksum/],
    ["a bit in the last number", put(sound.length - 1, sound[sound.length - 1] ^ 128), /checksum/],
    ["another position", fields({ position: 9 }), /checksum/],
    ["another name of the model", fields({ model: "another" }), /checksum/],
    ["another checksum", fields({ checksum: "00000000" }), /checksum/],
  ];
  for (const [name, bytes, said] of cases) {
    await thrown(() => model.session(bytes as Uint8Array), "state", said).catch((error) => {
      throw new Error(`${name}: ${error.message}`);
    });
  }
});

test("no bit of a saved state's header can be another", async () => {
  const session = model.session();
  await session.feed(ids(5));
  const saved = await session.save();
  await session.close();
  const start = 12 + new DataView(saved.buffer).getUint32(8, true);
  for (let bit = 0; bit < start * 8; bit++) {
    saved[bit >> 3]! ^= 1 << (bit & 7);
    await thrown(() => model.session(saved), "state");
    saved[bit >> 3]! ^= 1 << (bit & 7);
  }
  await model.session(saved).close();
});

test("a busy session says so, and goes on with what it does", async () => {
  const session = model.session();
  const feed = session.feed(ids(5000));
  await refused(session.feed([1]), "busy", /at work/);
  await refused(session.forward([1]), "busy");
  await refused(session.generate([1]).text(), "busy");
  await refused(session.generate([1]).result, "busy");
  await thrown(() => session.fork(), "busy");
  assert.is(await feed, 5000);
  const fork = session.fork();
  assert.is(await standing(fork), await standingAfter(model, ids(5000)));
  await session.close();
  await fork.close();
});

test("closing a session stops what it is at, and nothing of the other sessions", async () => {
  for (const threads of [0, 2]) {
    const own = await open({ threads, sessions: 4 });
    const other = own.session();
    const going = other.feed(ids(3000));
    const fed = own.session();
    const feed = fed.feed(ids(200_000));
    const told = own.session();
    const unread = told.generate(ids(5), { maxTokens: 1_000_000, stopTokens: [] });
    const heard = own.session();
    const reading = heard.generate(ids(5), { maxTokens: 1_000_000, stopTokens: [] }).text();
    const closing = [fed, told, heard].map((session) => session.close());
    for (const work of [feed, unread.result, reading]) await refused(work, "closed", /session was closed/);
    await Promise.all(closing);
    assert.is(await going, 3000);
    assert.is(await standing(other), await standingAfter(model, ids(3000)));
    // Their places are free again.
    const again = [own.session(), own.session(), own.session()];
    await Promise.all(again.map((session) => session.feed([1])));
    await own.close();
  }
});

test("a closed session says so", async () => {
  const session = model.session();
  await session.close();
  await session.close();
  for (const late of [
    () => session.feed([1]),
    () => session.forward([1]),
    () => session.generate([1]).text(),
    () => session.save(),
    () => session.fork(),
  ])
    await thrown(late, "closed", /session was closed/);
});

test("a closed model says so, and rejects what is running, in every mode", async () => {
  for (const threads of [0, 1, 2]) {
    const closing = await open({ threads });
    const [session, fed] = [closing.session(), closing.session()];
    await fed.feed(ids(3));
    const feed = session.feed(ids(200_000));
    const generation = closing.generate([1], { maxTokens: 1_000_000, stopTokens: [] });
    const save = fed.save();
    await save;
    const reading = (async () => {
      for await (const _part of generation);
    })();
    await closing.close();
    await closing.close();
    const works = [feed, generation.result, reading, session.feed([1]), fed.feed([1]), fed.save()];
    await Promise.all(works.map((work) => refused(work, "closed", /model was closed/)));
    await refused(closing.forward([1]), "closed");
    // At once, not only with what is done first.
    await thrown(() => closing.session(), "closed", /model was closed/);
    await thrown(() => fed.fork(), "closed", /model was closed/);
    await thrown(() => closing.generate([1]), "closed", /model was closed/);
    await refused(closing.chat(), "closed", /model was closed/);
    await refused(closing.combineStates([[await save, 1]]), "closed", /model was closed/);
    await refused(closing.initialState("missing.pth"), "closed", /model was closed/);
    await session.close();
  }
});

test("sessions, generations and models dispose of themselves", async () => {
  const disposed = await open({ sessions: 1, threads: 1 });
  for (let i = 0; i < 5; i++) {
    const session = disposed.session();
    await session.feed([i]);
    await session[Symbol.asyncDispose]();
  }
  for (let i = 0; i < 5; i++) {
    const generation = disposed.generate([i], greedy);
    await generation.text();
    await generation.result;
  }
  await disposed[Symbol.asyncDispose]();
  await refused(disposed.forward([1]), "closed");
});

test("no more sessions than were asked for, and a place that is given back is taken again", async () => {
  const small: Model = await open({ sessions: 2 });
  const [first, second] = [small.session(), small.session()];
  await thrown(() => small.session(), "memory", /2 sessions are open/, /larger `sessions`/);
  await thrown(() => first.fork(), "memory");
  await thrown(() => small.generate([1]), "memory");
  await refused(small.forward([1]), "memory");
  await Promise.all([first.feed(ids(9)), second.feed(ids(7))]);
  const before = await standing(second);
  await first.close();
  const third = small.session();
  assert.is(third.position, 0);
  // Nothing of the session that had the place before is left in it.
  const fresh = model.session();
  assert.is(await standing(third), await standing(fresh));
  await fresh.close();
  await third.feed(ids(9));
  assert.is(await standing(second), before);
  await small.close();
});

test("options of load that are out of range are named with their range", async () => {
  const cases: [options: object, said: RegExp][] = [
    [{ threads: -1 }, /threads must be "auto" or an integer from 0 to 64, not -1/],
    [{ threads: 65 }, /threads .* not 65/],
    [{ threads: 1.5 }, /threads .* not 1\.5/],
    [{ threads: "2" }, /threads .* not "2"/],
    [{ threads: Number.NaN }, /threads .* not NaN/],
    [{ weights: "i8" }, /weights must be one of f32, f16, bf16, q8_0, .*, not "i8"/],
    [{ weights: "toString" }, /weights must be one of/],
    [{ build: "fast" }, /build must be "auto", "plain" or "relaxed", not "fast"/],
    [{ sessions: 0 }, /sessions must be an integer from 1 to 65536, not 0/],
    [{ sessions: 65537 }, /sessions .* not 65537/],
    [{ sessions: 2.5 }, /sessions .* not 2\.5/],
  ];
  for (const [options, said] of cases) await refused(open(options), "input", said);
});

test("a save that was asked for before a close is of that session, whatever takes its place", async () => {
  for (const threads of [0, 2]) {
    const own = await open({ threads });
    const one = own.session();
    await one.feed(ids(20, 1));
    const expected = await standing(one);
    const other = own.session();
    await other.feed(ids(9, 2));
    const bytes = await other.save();
    const saving = one.save();
    await one.close();
    const next = own.session(bytes);
    const restored = own.session(await saving);
    assert.is(await standing(restored), expected);
    assert.is(restored.position, 20);
    await next.close();
    await own.close();
  }
});

test("a session of another model is refused", async () => {
  const own = await open({ threads: 0 });
  await refused(own.forward([1], model.session()), "input", /another model/);
  await own.close();
});

test.run();
