// Sampling options: what is accepted, what is refused and how it says so, and what the engine is told.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { type SamplingOptions, samplingOf } from "../../src/sampling.ts";

const VOCAB = 260;
const bytes = (id: number) =>
  id < 256 ? Uint8Array.of(id) : new TextEncoder().encode(["ab", "a\nb", "é", ""][id - 256]);
const vocabulary = { size: VOCAB, tokenizer: { bytes } };

const of = (options: unknown, of = vocabulary as Parameters<typeof samplingOf>[1]) =>
  samplingOf(options as SamplingOptions, of);

function refused(options: unknown, ...patterns: (RegExp | string)[]): void {
  let said = "nothing";
  try {
    of(options);
  } catch (error) {
    if (!(error instanceof RwkvError) || error.code !== "input") throw error;
    said = error.message;
  }
  for (const pattern of patterns)
    assert.ok(
      typeof pattern === "string" ? said.includes(pattern) : pattern.test(said),
      `said: ${said}, expected ${pattern}`,
    );
}

test("what is not asked for is off, but for temperature and top-p", () => {
  const { seed, ...rest } = of({});
  assert.equal(rest, {
    temperature: 0.8,
    topP: 0.9,
    topK: 0,
    minP: 0,
    typicalP: 1,
    topNSigma: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    penaltyDecay: 1,
    penalizePrompt: false,
    dry: undefined,
    xtc: undefined,
    mirostat: undefined,
    dynamicTemperature: undefined,
    bias: undefined,
  });
  assert.ok(seed.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32));
  assert.not.equal(of({}).seed, of({}).seed);
  assert.equal(of({ seed: 5n + (7n << 32n) }).seed, [5, 7]);
});

test("a group that is given has the usual values, and off is off", () => {
  const { dry, xtc, mirostat, dynamicTemperature } = of({ dry: {}, xtc: {}, dynamicTemperature: {} });
  assert.equal([dry!.multiplier, dry!.base, dry!.allowedLength, dry!.range], [0.8, 1.75, 2, 1024]);
  assert.equal(xtc, { probability: 0.5, threshold: 0.1 });
  assert.equal(dynamicTemperature, { range: 0.5, exponent: 1 });
  assert.is(mirostat, undefined);
  assert.equal(of({ mirostat: {} }).mirostat, { tau: 5, eta: 0.1 });
  assert.is(of({ mirostat: {} }).topP, 1);
  const off = of({ dry: { multiplier: 0 }, xtc: { probability: 0 }, dynamicTemperature: { range: 0 } });
  assert.equal([off.dry, off.xtc, off.dynamicTemperature], [undefined, undefined, undefined]);
});

const NUMBERS: [option: string, low: number, high: number, kind?: "open" | "integer"][] = [
  ["temperature", 0, 100],
  ["topP", 0, 1, "open"],
  ["topK", 0, 2 ** 31 - 1, "integer"],
  ["minP", 0, 1],
  ["typicalP", 0, 1, "open"],
  ["topNSigma", 0, 100],
  ["repetitionPenalty", 0.01, 100],
  ["presencePenalty", -100, 100],
  ["frequencyPenalty", -100, 100],
  ["penaltyDecay", 0, 1],
  ["dry.multiplier", 0, 100],
  ["dry.base", 1, 100],
  ["dry.allowedLength", 1, 4096, "integer"],
  ["dry.range", 1, 4096, "integer"],
  ["xtc.probability", 0, 1],
  ["xtc.threshold", 0, 1],
  ["mirostat.tau", 0, 100, "open"],
  ["mirostat.eta", 0, 1],
  ["dynamicTemperature.range", 0, 100],
  ["dynamicTemperature.exponent", 0, 100, "open"],
];

const given = (option: string, value: unknown) => {
  const [group, name] = option.split(".");
  return name ? { [group]: { [name]: value } } : { [group]: value };
};

for (const [option, low, high, kind] of NUMBERS)
  test(`${option}: from ${low} to ${high}, and no other type`, () => {
    const what = kind === "integer" ? "an integer" : "a number";
    const range = `${option} must be ${what} from ${kind === "open" ? "above " : ""}${low} to ${high}, not `;
    const step = kind === "integer" ? 1 : 1e-6;
    for (const value of [low - step, high + step, Number.NaN, Number.POSITIVE_INFINITY, null, "1", true, {}, [1], 5n])
      refused(given(option, value), range);
    refused(given(option, "1"), `${range}"1".`);
    if (kind) refused(given(option, kind === "open" ? low : low + 0.5), range);
    for (const value of [kind === "open" ? low + step : low, high, undefined]) of(given(option, value));
  });

test("groups are objects, and have no other names", () => {
  for (const group of ["dry", "xtc", "mirostat", "dynamicTemperature"]) {
    for (const value of [null, 5, true, "on", [], () => 0, new Map(), new Date(0)])
      refused({ [group]: value }, new RegExp(`^${group} must be an object with any of \\w+, `));
    refused({ [group]: { Probability: 1 } }, /must be an object with any of .*; it has no "Probability"\.$/);
    of({ [group]: undefined });
  }
  for (const value of [1, "yes", null, {}])
    refused({ penalizePrompt: value }, "penalizePrompt must be true or false, not ");
});

test("options that exclude each other are both named", () => {
  const others = { topP: 0.5, topK: 5, minP: 0.1, typicalP: 0.5, topNSigma: 1, xtc: {}, dynamicTemperature: {} };
  for (const [name, value] of Object.entries(others))
    refused({ mirostat: {}, [name]: value }, `mirostat and ${name} exclude each other: `);
  refused({ mirostat: {}, temperature: 0 }, "mirostat and temperature 0 exclude each other: ");
  refused({ dynamicTemperature: {}, temperature: 0 }, "dynamicTemperature and temperature 0 exclude each other: ");
  // What is off excludes nothing.
  of({
    mirostat: {},
    topP: 1,
    topK: 0,
    minP: 0,
    typicalP: 1,
    topNSigma: 0,
    xtc: { probability: 0 },
    dynamicTemperature: { range: 0 },
  });
  of({ temperature: 0, topP: 0.5, xtc: {} });
});

test("logitBias comes as an object, a Map or pairs; bans win", () => {
  const expected = [
    [3, -5.5],
    [259, 100],
  ];
  const entries = (options: SamplingOptions) => {
    const { tokens, values } = of(options).bias!;
    return [...tokens].map((token, i) => [token, values[i]]).sort(([a], [b]) => a - b);
  };
  assert.equal(entries({ logitBias: { 3: -5.5, 259: 100 } }), expected);
  assert.equal(
    entries({
      logitBias: new Map([
        [3, -5.5],
        [259, 100],
      ]),
    }),
    expected,
  );
  assert.equal(
    entries({
      logitBias: [
        [3, -5.5],
        [259, 100],
      ],
    }),
    expected,
  );
  assert.equal(entries({ logitBias: { 3: 100 }, bannedTokens: [3, 3, 4] }), [
    [3, Number.NEGATIVE_INFINITY],
    [4, Number.NEGATIVE_INFINITY],
  ]);
  assert.equal(entries({ logitBias: { 7: Number.NEGATIVE_INFINITY } }), [[7, Number.NEGATIVE_INFINITY]]);
  assert.is(of({ logitBias: {}, bannedTokens: [] }).bias, undefined);

  for (const id of [-1, 260, 1.5, Number.NaN])
    refused({ logitBias: [[id, 1]] }, `of token ids from 0 to 259, not of ${id}.`);
  for (const id of ["260", "01", "1.0", "x", "", "-1", "1e2"])
    refused({ logitBias: { [id]: 1 } }, /of token ids from 0 to 259/);
  for (const value of [101, -100.5, Number.NaN, Number.POSITIVE_INFINITY, "1", null])
    refused({ logitBias: { 5: value } }, "logitBias of token 5 must be a number from -100 to 100, or -Infinity, not ");
  for (const value of [5, "x", null, new Set([1]), new Float32Array(3), new Date(0)])
    refused({ logitBias: value }, "logitBias must be an object or a Map from token ids");
  for (const value of [[5], [[1, 2, 3]], [[1, 2], null]])
    refused({ logitBias: value }, /pairs \[token, number\]; item \d is none/);
  refused(
    {
      logitBias: [
        [1, 2],
        [1, 3],
      ],
    },
    "logitBias names token 1 twice",
  );
  for (const value of [5, "5", {}, new Uint8Array(1)])
    refused({ bannedTokens: value }, "bannedTokens must be an array of token ids");
  for (const value of [[260], [-1], ["1"], [undefined], [null]])
    refused({ bannedTokens: value }, "a banned token must be an integer from 0 to 259");
  refused({ bannedTokens: Array.from({ length: VOCAB }, (_, i) => i) }, "All 260 tokens are banned");
  of({ bannedTokens: Array.from({ length: VOCAB - 1 }, (_, i) => i) });
});

test("a string is a breaker in all tokens that contain it", () => {
  const breakers = (options: SamplingOptions["dry"], of_ = vocabulary as Parameters<typeof samplingOf>[1]) => {
    const bits = of({ dry: options }, of_).dry!.breakers;
    return Array.from({ length: VOCAB }, (_, i) => i).filter((i) => (bits[i >> 5] >>> (i & 31)) & 1);
  };
  assert.equal(breakers({}), [10, 34, 42, 58, 257]);
  assert.equal(breakers({ breakers: [] }), []);
  assert.equal(breakers({ breakers: [0, 31, 32, 259] }), [0, 31, 32, 259]);
  assert.equal(breakers({ breakers: ["b", 5] }), [5, 98, 256, 257]);
  assert.equal(breakers({ breakers: ["\nb"] }), [257]);
  assert.equal(breakers({ breakers: ["é"] }), [258]);
  assert.equal(breakers({ breakers: ["ba"] }), []);
  // Without a tokenizer there are none by default, and none by name.
  assert.equal(breakers({}, { size: VOCAB }), []);
  assert.equal(breakers({ breakers: [9] }, { size: VOCAB }), [9]);
  assert.throws(
    () => of({ dry: { breakers: ["x"] } }, { size: VOCAB }),
    /must be token ids, not "x": the model has no tokenizer/,
  );

  refused({ dry: { breakers: "x" } }, /dry.breakers must be an array of at most 100 strings or token ids, not "x"/);
  refused({ dry: { breakers: new Array(101).fill(1) } }, /not 101 of them/);
  refused({ dry: { breakers: [""] } }, /must not hold an empty string/);
  for (const breaker of [260, -1, 1.5, null, {}])
    refused({ dry: { breakers: [breaker] } }, "a breaker of dry that is no string must be an integer from 0 to 259");
});

test("what the engine is told can cross to it", () => {
  const sampling = of({ dry: {}, xtc: {}, logitBias: { 5: 1 }, dynamicTemperature: {}, seed: 1 });
  assert.equal(structuredClone(sampling), sampling);
});

test.run();
