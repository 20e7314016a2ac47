// JSON schemas: what is generated under a mask is accepted by ajv, and what satisfies a schema can be written.
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { compileConstraint } from "../../src/grammar/compile.ts";
import { samples } from "./schemas.ts";
import { bytesOnly, follows, matcher, mixed, random, walk, worldTrie } from "./walk.ts";
import { wrong } from "./wrong.ts";

const ajv = new Ajv2020({ strict: false });
formats.default(ajv);

/** The definitions that schemas refer to. */
const whole = (schema: object | boolean): object =>
  typeof schema === "boolean" ? { allOf: [schema], $defs: { any: true } } : { ...schema, $defs: { any: true } };

test("texts generated at random are JSON that ajv accepts, and values that satisfy a schema can be written", () => {
  let [ended, written] = [0, 0];
  fc.assert(
    fc.property(samples, fc.nat(), ({ schema: inner, value }, seed) => {
      const schema = whole(inner);
      const check = ajv.compile(schema);
      assert.ok(check(value), `the test's own value: ${JSON.stringify(check.errors)}`);
      const program = compileConstraint({ schema });
      assert.ok(
        follows(matcher(program), JSON.stringify(value)),
        `${JSON.stringify(value)} of ${JSON.stringify(schema)}`,
      );
      written++;
      for (const trie of [bytesOnly, mixed]) {
        const { text, ended: did } = walk(matcher(program, trie), trie, random(seed), 20);
        if (!did) continue;
        ended++;
        assert.ok(check(JSON.parse(text)), `${text} of ${JSON.stringify(schema)}: ${JSON.stringify(check.errors)}`);
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(ended > written, `${ended} of ${2 * written} ended`);
});

/** Values that can be written under a schema, others that cannot; and that ajv agrees about generated ones. */
async function says(schema: object | boolean, yes: unknown[], no: unknown[]): Promise<void> {
  const program = compileConstraint({ schema });
  const check = ajv.compile(schema);
  for (const value of yes) {
    assert.ok(check(value), `${JSON.stringify(value)} of ${JSON.stringify(schema)}`);
    assert.ok(
      follows(matcher(program), JSON.stringify(value)),
      `${JSON.stringify(value)} of ${JSON.stringify(schema)}`,
    );
  }
  for (const value of no)
    assert.not(
      follows(matcher(program), JSON.stringify(value)),
      `${JSON.stringify(value)} of ${JSON.stringify(schema)}`,
    );
  for (const trie of [bytesOnly, mixed, mixed, await worldTrie()])
    for (let seed = 0; seed < 10; seed++) {
      const { text, ended } = walk(matcher(program, trie), trie, random(seed), 25);
      if (ended) assert.ok(check(JSON.parse(text)), `${text} of ${JSON.stringify(schema)}`);
    }
}

test("types", async () => {
  await says(true, [null, 1, "a", [], { a: [{}] }], []);
  await says({}, [null, 1.5, "a", [1, [2]], { a: {} }], []);
  await says({ type: ["integer", "null"] }, [1, null], [1.5, "a"]);
  await says({ type: "number" }, [1, 1.5, -0.25, 1e21, 1e-7, 1.5e300], ["1", null]);
  await says({ type: "integer" }, [0, -1, 1e20], [1.5, 1e21]);
  await says({ minimum: 3 }, [3, 4.5], [2, "a"]);
  await says({ minLength: 3, items: { type: "null" } }, ["abc", [null], []], ["ab", [1], 3]);
  await says({ type: "object" }, [{}, { a: 1, b: { c: [] } }], [[], null]);
});

test("numbers between bounds", async () => {
  await says({ type: "integer", minimum: -12, maximum: 105 }, [-12, -1, 0, 9, 99, 105], [-13, 106, 1.5]);
  await says({ type: "integer", exclusiveMinimum: 2.5, exclusiveMaximum: 10 }, [3, 9], [2, 10]);
  await says(
    { type: "integer", minimum: 2 ** 53, maximum: 2 ** 53 + 20 },
    [2 ** 53, 2 ** 53 + 20],
    [2 ** 53 - 1, 2 ** 53 + 22],
  );
  await says({ type: "integer", exclusiveMinimum: 2 ** 53 }, [2 ** 53 + 2], [2 ** 53]);
  await says({ type: "number", minimum: -0.5, maximum: 0.5 }, [-0.5, 0, 0.5, 0.499, -0.0001], [-0.51, 0.5001, 1]);
  await says({ type: "number", exclusiveMinimum: 0 }, [0.001, 1e-9, 5], [0, -1]);
  await says({ type: "number", exclusiveMaximum: 0 }, [-0.001, -1e-9, -5], [0, 1]);
  await says(
    { type: "number", exclusiveMinimum: 1, exclusiveMaximum: 2 },
    [1.0000000000000002, 1.5, 1.9999999999999998],
    [1, 2],
  );
  await says({ type: "number", minimum: 0.1 }, [0.1, 0.3, 1e20], [0.09, 0.0999999999]);
  await says({ type: "number", minimum: -1e300, maximum: 1.7976931348623157e308 }, [0, -1e20, 1.5], [1e22]);
  await says({ type: "number", maximum: -3 }, [-3, -4.5], [-2.9, 0]);
  await says({ type: "integer", multipleOf: 7 }, [0, 7, -14, 700], [1, 15]);
  await says({ multipleOf: 4, allOf: [{ multipleOf: 6 }], maximum: 30 }, [12, 24, 0, -36], [4, 6, 36]);
});

test("strings: lengths in characters, patterns anywhere, formats", async () => {
  await says({ type: "string", minLength: 2, maxLength: 3 }, ["é\u{1f600}", "abc"], ["a", "abcd", "\u{1f600}"]);
  await says({ type: "string", pattern: "b+c" }, ["abbc", "bc!"], ["ac"]);
  await says({ pattern: "^a", allOf: [{ pattern: "z$" }], maxLength: 4 }, ["az", "abcz"], ["a", "abcdz"]);
  await says(
    { format: "date" },
    ["2024-02-29", "2000-02-29", "1999-12-31"],
    ["2023-02-29", "1900-02-29", "2024-13-01", "2024-1-1"],
  );
  await says({ format: "time" }, ["23:59:59Z", "00:00:00.5+05:30"], ["24:00:00Z", "12:00:00"]);
  await says({ format: "date-time" }, ["2024-02-29T01:02:03.456Z"], ["2024-02-29", "2024-02-30T01:02:03Z"]);
  await says({ format: "uuid" }, ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]);
  await says({ format: "email" }, ["a.b+c@example.org"], ["a@b", "@example.org"]);
  await says({ format: "ipv4" }, ["0.0.0.0", "255.255.255.255"], ["256.1.1.1", "1.1.1"]);
  await says({ format: "ipv6" }, ["::", "::1", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8"], ["1:2:3", ":::"]);
  await says({ format: "hostname" }, ["example.org", "localhost"], ["-a.org"]);
  await says({ format: "uri" }, ["https://example.org/a?b=c#d"], ["example"]);
  await says({ format: "duration" }, ["P1Y2M3DT4H5M6S", "PT5M", "P2W"], ["P", "5M"]);
});

test("a string may be written with any escapes; one with a pattern, with those that are needed", () => {
  const program = compileConstraint({ schema: { type: "string", maxLength: 2 } });
  for (const text of ['"\\u0061\\n"', '"\\ud83d\\uDE00é"', '"\\/\\""', '"\\u00e9"', '"\\u0000"'])
    assert.ok(follows(matcher(program), text), text);
  for (const text of ['"\\ud83d"', '"\\ud83dx"', '"\\ude00"', '"\n"', '"\\x"', '"abc"', '"\\u0061\\u0061\\u0061"'])
    assert.not(follows(matcher(program), text), text);
  const pattern = compileConstraint({ schema: { pattern: '^[\\n"aé]$' } });
  for (const text of ['"\\n"', '"\\u000a"', '"\\""', '"a"', '"é"', '"\\u00E9"'])
    assert.ok(follows(matcher(pattern), text), text);
  for (const text of ['"\\u0061"', '"\n"', '"""']) assert.not(follows(matcher(pattern), text), text);
});

test("lists", async () => {
  await says(
    { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 3 },
    [[1], [1, 2, 3]],
    [[], [1, 2, 3, 4], ["a"]],
  );
  await says(
    { prefixItems: [{ type: "string" }, { type: "null" }], items: { const: 1 } },
    [[], ["a"], ["a", null, 1, 1]],
    [[1], ["a", null, 2]],
  );
  await says({ prefixItems: [{ type: "string" }] }, [[], ["a"]], [["a", "b"]]);
  await says(
    { prefixItems: [{ type: "string" }], minItems: 3 },
    [["a", 1, {}]],
    [
      ["a", 1],
      ["a", 1, 2, 3],
    ],
  );
  await says({ prefixItems: [{ type: "string" }, false], items: true }, [[], ["a"]], [["a", 1]]);
  await says({ type: "array", items: false }, [[]], [[1]]);
  await says({ type: "array", maxItems: 0 }, [[]], [[1]]);
});

test("objects: keys in order, required and others, named by patterns, counted", async () => {
  const abc = { properties: { a: { type: "integer" }, b: { type: "null" }, c: {} }, required: ["b"] };
  await says(
    abc,
    [{ b: null }, { a: 1, b: null }, { a: 1, b: null, c: [] }],
    [{}, { b: 1 }, { b: null, a: 1 }, { b: null, d: 1 }],
  );
  await says(
    { ...abc, additionalProperties: { type: "boolean" } },
    [{ b: null, d: true, e: false }],
    [{ b: null, d: 1 }, { d: true }],
  );
  await says(
    { patternProperties: { "^x": { type: "integer" }, y$: { minimum: 5, type: "number" } } },
    [{}, { x: 1, xy: 6, zy: 5.5 }],
    [{ xy: 1 }, { z: 1 }],
  );
  await says({ patternProperties: { "^a": false }, additionalProperties: true }, [{ b: 1 }], [{ a: 1 }, { ab: 1 }]);
  await says(
    { properties: { ab: { maximum: 9 } }, patternProperties: { "^a": { type: "integer" } } },
    [{ ab: 3, ac: 11 }],
    [{ ab: 11 }],
  );
  await says({ type: "object", propertyNames: { pattern: "^[a-z]$" } }, [{}, { a: 1, b: 2 }], [{ A: 1 }]);
  await says(
    { type: "object", propertyNames: { enum: ["k", "l"] }, additionalProperties: { type: "null" } },
    [{ l: null }],
    [{ m: null }],
  );
  await says({ type: "object", minProperties: 1 }, [{ a: 1 }], [{}]);
  await says(
    { ...abc, required: [], minProperties: 2 },
    [
      { a: 1, b: null },
      { b: null, c: 1 },
    ],
    [{ a: 1 }, {}],
  );
  await says(
    { ...abc, required: [], maxProperties: 1, additionalProperties: true },
    [{}, { a: 1 }, { z: 1 }],
    [
      { a: 1, b: null },
      { c: 1, z: 1 },
    ],
  );
  await says({ required: ["k"] }, [{ k: 1 }, { k: 1, z: 2 }], [{}, { z: 2 }]);
  await says({ properties: { 'a"é\n': { type: "null" } }, required: ['a"é\n'] }, [{ 'a"é\n': null }], []);
  await says({ properties: { a: false, b: true } }, [{}, { b: 1 }], [{ a: 1 }]);
});

test("a key beyond the named ones is none of them, however it is written", () => {
  const program = compileConstraint({
    schema: { properties: { ab: { type: "null" } }, additionalProperties: { type: "integer" } },
  });
  for (const text of ['{"ab":null}', '{"abc":1}', '{"a":1}', '{"AB":1}', '{"\\n":1,"":2}'])
    assert.ok(follows(matcher(program), text), text);
  for (const text of ['{"ab":1}', '{"\\u0061b":1}', '{"ab":null,"ab":1}'])
    assert.not(follows(matcher(program), text), text);
});

test("white space: none, a space, or a new line and its indentation", () => {
  const program = compileConstraint({
    schema: { properties: { a: { type: "array", items: { type: "integer" } }, b: {} } },
  });
  const value = { a: [1, 2], b: { c: [{}, []] } };
  for (const indent of [undefined, 1, 2, 4, "\t"])
    assert.ok(follows(matcher(program), JSON.stringify(value, undefined, indent)));
  for (const text of ['{ "a": [ 1, 2 ] }', "{ }", "{\n}"]) assert.ok(follows(matcher(program), text), text);
  for (const text of [' {"a":[]}', '{"a" :[]}', '{"a":  []}', "{}\n", '{"a":[1 ,2]}'])
    assert.not(follows(matcher(program), text), text);
});

test("enum and const, alone and beside other keywords", async () => {
  await says({ enum: ["a", 1, null, { b: [1, 2] }, 'é"\n'] }, ["a", 1, null, { b: [1, 2] }, 'é"\n'], ["b", 2, {}]);
  await says({ const: { a: 1 } }, [{ a: 1 }], [{}, { a: 1, b: 2 }]);
  await says({ enum: [1, 2, 3.5, "x", 10], minimum: 2, type: "number" }, [2, 3.5, 10], [1, "x"]);
  await says({ enum: ["ab", "cd", "abc"], pattern: "^a", maxLength: 2 }, ["ab"], ["cd", "abc"]);
  await says(
    { enum: [{ a: 1 }, { a: "x" }, {}], required: ["a"], properties: { a: { type: "integer" } } },
    [{ a: 1 }],
    [{ a: "x" }, {}],
  );
  await says({ allOf: [{ enum: [1, 2, 3] }, { enum: [2, 3, 4] }, { const: 3 }] }, [3], [2]);
});

test("anyOf, oneOf and allOf", async () => {
  await says({ anyOf: [{ type: "integer" }, { type: "string", maxLength: 2 }] }, [1, "ab"], ["abc", 1.5]);
  await says(
    { type: "object", properties: { a: {}, b: {} }, anyOf: [{ required: ["a"] }, { required: ["b"] }] },
    [{ a: 1 }, { b: 1 }, { a: 1, b: 2 }],
    [{}],
  );
  const tagged = (tag: string, more: object) => ({ properties: { tag: { const: tag }, ...more }, required: ["tag"] });
  await says(
    { type: "object", oneOf: [tagged("a", { x: { type: "integer" } }), tagged("b", { y: { type: "null" } })] },
    [{ tag: "a", x: 1 }, { tag: "b", y: null }, { tag: "b" }],
    [{ tag: "a", y: null }, { tag: "c" }],
  );
  await says(
    { oneOf: [{ type: "integer", maximum: 5 }, { type: "integer", exclusiveMinimum: 5 }, { type: "null" }] },
    [5, 6, null],
    ["a"],
  );
  await says(
    {
      oneOf: [
        { type: "string", pattern: "^a" },
        { type: "string", pattern: "^b" },
        { type: "array", minItems: 2 },
        { type: "array", maxItems: 1 },
      ],
    },
    ["ax", "b", [], [1, 2]],
    ["c", 1],
  );
  await says(
    {
      oneOf: [
        { type: "array", prefixItems: [{ const: 1 }], minItems: 1 },
        { type: "array", prefixItems: [{ const: 2 }], minItems: 1 },
      ],
    },
    [[1], [2]],
    [[]],
  );
  await says(
    {
      allOf: [
        { properties: { a: { minimum: 1 } }, required: ["a"] },
        { properties: { a: { type: "integer", maximum: 3 }, b: {} } },
      ],
    },
    [{ a: 2 }, { a: 1, b: 0 }],
    [{ a: 0 }, { a: 4 }, { b: 1 }],
  );
  await says(
    {
      allOf: [
        { properties: { a: {} }, additionalProperties: { type: "integer" } },
        { properties: { b: { minimum: 2 } }, required: ["b"] },
      ],
    },
    [
      { a: "x", b: 2 },
      { b: 3, c: 4 },
    ],
    [{ b: 2.5 }, { b: 1 }],
  );
  await says(
    { allOf: [{ anyOf: [{ type: "integer" }, { type: "null" }] }, { anyOf: [{ type: "null" }, { const: 5 }] }] },
    [5, null],
    [6],
  );
});

test("references, to itself among them", async () => {
  const tree = {
    $ref: "#/$defs/node",
    $defs: {
      node: {
        type: "object",
        properties: { v: { type: "integer" }, kids: { type: "array", items: { $ref: "#/$defs/node" } } },
        required: ["v"],
      },
    },
  };
  await says(tree, [{ v: 1 }, { v: 1, kids: [{ v: 2, kids: [] }, { v: 3 }] }], [{}, { v: 1, kids: [{}] }]);
  await says({ type: "array", items: { $ref: "#" } }, [[], [[], [[]]]], [[1]]);
  const circle = compileConstraint({ schema: { anyOf: [{ type: "null" }, { $ref: "#" }] } });
  assert.ok(follows(matcher(circle), "null"));
  await says(
    { $ref: "#/$defs/a~1b/items", minimum: 3, $defs: { "a/b": { items: { type: "integer" } } } },
    [3],
    [2, "a"],
  );
  await says({ $ref: "#it", $defs: { x: { $anchor: "it", type: "null" } } }, [null], [1]);
  await says({ properties: { x: { $ref: "#/properties/y" }, y: { type: "boolean" } } }, [{ x: true }], [{ x: 1 }]);
});

test("annotations change nothing", async () => {
  await says(
    {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: "https://example.org/x",
      title: "t",
      description: "d",
      default: 1,
      examples: [2],
      $comment: "c",
      "x-own": 1,
      type: "null",
    },
    [null],
    [1],
  );
});

test("what cannot be had is refused by name, with a pointer", () => {
  const refused = (schema: unknown, ...what: RegExp[]) =>
    wrong(() => compileConstraint({ schema: schema as object }), "unsupported", ...what);
  refused({ properties: { a: { not: {} } } }, /keyword "not", at #\/properties\/a\/not/);
  refused({ if: {}, else: {} }, /keyword "if", at #\/if/);
  for (const keyword of [
    "contains",
    "unevaluatedProperties",
    "dependentRequired",
    "nullable",
    "contentEncoding",
    "nonsense",
  ])
    refused({ anyOf: [{}, { [keyword]: {} }] }, new RegExp(`keyword "${keyword}", at #/anyOf/1/${keyword}`));
  refused({ items: { uniqueItems: true } }, /uniqueItems, at #\/items\/uniqueItems/);
  refused({ items: [{}, {}] }, /prefixItems now, at #\/items/);
  refused({ format: "regex" }, /format "regex"; there are date, /, /at #\/format/);
  refused({ format: "constructor" }, /format "constructor"/);
  refused({ multipleOf: 0.01 }, /multipleOf 0.01/, /at #\/multipleOf/);
  refused({ $ref: "https://example.org/schema" }, /another document/);
  refused({ properties: { a: { $id: "x" } } }, /\$id/);
  refused({ minLength: 20_000 }, /minLength 20000; strings have up to 10000/);
  refused({ minItems: 2000 }, /minItems 2000; lists have up to 1000/);
  refused({ type: "object", minProperties: 2 }, /minProperties 2, with 0 names known/);
  refused({ oneOf: [{ type: "integer" }, { type: "number" }] }, /choices 0 and 1 may both accept/, /at #\/oneOf/);
  refused({ oneOf: [{ pattern: "^a" }, { pattern: "^b" }] }, /choices 0 and 1/); // Both accept 1.
  refused({ oneOf: [{ required: ["a"] }, { required: ["b"] }] }, /choices 0 and 1/);
  refused({ pattern: "(?=a)" }, /the pattern at #\/pattern uses lookahead/);
  refused({ type: "number", minimum: 1e-30 }, /the bound 1e-30/);
});

test("what is wrong is named, with a pointer", () => {
  const bad = (schema: unknown, ...what: RegExp[]) =>
    wrong(() => compileConstraint({ schema: schema as object }), "input", ...what);
  bad({ type: "text" }, /"text" is no type/, /at #\/type/);
  bad({ properties: { a: { type: 5 } } }, /#\/properties\/a\/type: 5 is no type/);
  bad({ properties: { "a/b~": 7 } }, /#\/properties\/a~1b~0: a schema is an object/);
  bad({ minLength: -1 }, /at #\/minLength: a whole number/);
  bad({ maximum: "5" }, /at #\/maximum: a number/);
  bad({ required: "a" }, /required must be a list/);
  bad({ anyOf: [] }, /anyOf must be a list of schemas, not empty/);
  bad({ $ref: "#/$defs/x" }, /leads nowhere/);
  bad({ $ref: "#nothing" }, /no \$anchor "nothing"/);
  bad({ pattern: "(" }, /the pattern at #\/pattern is no regular expression/);
  bad([], /a schema is an object/);
  bad(5, /a schema is an object/);
  bad("{}", /a schema is an object/);
  bad(null, /a schema is an object/);
  bad({ minimum: Number.NaN }, /NaN is no JSON/);
  bad({ enum: [undefined] }, /undefined is no JSON/);
  bad({ const: () => 1 }, /function is no JSON/);
});

test("what nothing can satisfy says why", () => {
  const bad = (schema: unknown, ...what: RegExp[]) =>
    wrong(() => compileConstraint({ schema: schema as object }), "input", /No text can follow the schema/, ...what);
  bad(false, /false accepts nothing, at #/);
  bad({ type: "integer", minimum: 5, maximum: 3 }, /minimum 5 is above the maximum 3/);
  bad({ allOf: [{ type: "string" }, { type: "null" }] }, /no type is left/);
  bad(
    { properties: { a: { const: 1, type: "string" } }, required: ["a"] },
    /no value of enum or const fits the rest, at #\/properties\/a/,
  );
  bad({ enum: [] }, /no value of enum or const is left/);
  bad({ type: "string", pattern: "^ab$", maxLength: 1 }, /no string has the length, the pattern/);
  bad({ type: "array", minItems: 3, maxItems: 2 }, /minItems 3 is above maxItems 2/);
  bad({ $ref: "#" }, /refers back to itself/);
  bad(
    { type: "object", properties: { next: { $ref: "#" } }, required: ["next"] },
    /# never ends, since every way through it needs # again/,
  );
  bad({ type: "object", required: ["ab"], propertyNames: { maxLength: 1 } }, /propertyNames forbid "ab"/);
  bad({ properties: { a: {} }, additionalProperties: false, minProperties: 2, type: "object" }, /only 1 properties/);
});

test("a schema may be given as the same object in several places, and is not changed", () => {
  const name = Object.freeze({ type: "string", maxLength: 3 });
  const schema = Object.freeze({
    type: "object",
    properties: Object.freeze({ a: name, b: name }),
    required: Object.freeze(["b"]),
  });
  assert.ok(follows(matcher({ schema }), '{"a":"x","b":"yz"}'));
});

test("errors of the package are the only ones", () => {
  const anything = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom<unknown>(
        null,
        true,
        0,
        -1,
        1.5,
        "",
        "#",
        "integer",
        "string",
        "object",
        "#/$defs/x",
        "(",
        undefined,
      ),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom(
          "type",
          "enum",
          "const",
          "anyOf",
          "oneOf",
          "allOf",
          "$ref",
          "$defs",
          "x",
          "properties",
          "required",
          "items",
          "prefixItems",
          "minItems",
          "maxItems",
          "minLength",
          "maxLength",
          "pattern",
          "format",
          "minimum",
          "maximum",
          "multipleOf",
          "additionalProperties",
          "patternProperties",
          "propertyNames",
          "minProperties",
          "maxProperties",
        ),
        tie("value"),
        { maxKeys: 4 },
      ),
    ),
  })).value;
  fc.assert(
    fc.property(anything, (schema) => {
      try {
        compileConstraint({ schema: schema as object });
      } catch (error) {
        assert.instance(error, RwkvError, String((error as Error).stack));
      }
    }),
    { numRuns: 1000 },
  );
});

test.run();
