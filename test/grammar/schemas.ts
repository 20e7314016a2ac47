/** Schemas at random, each with a value that satisfies it, keys in the schema's order. */
import fc from "fast-check";

export interface Sample {
  readonly schema: object | boolean;
  readonly value: unknown;
}

const text = fc.string({ unit: "grapheme", maxLength: 8 });
const length = (value: string): number => Array.from(value).length;
const sample = <T>(
  values: fc.Arbitrary<T>,
  schema: (value: T, random: [number, number, boolean, boolean]) => object | boolean,
) =>
  fc
    .tuple(values, fc.nat(5), fc.nat(5), fc.boolean(), fc.boolean())
    .map(([value, a, b, c, d]): Sample => ({ value, schema: schema(value, [a, b, c, d]) }));

const PATTERNS = [
  "^[a-z]{2,5}$",
  "^a+b?",
  "[0-9]{3}",
  "x$",
  "^(foo|bar|é)*$",
  '^[^\\s"]+$',
  "\\p{Lu}\\d?",
  "^$|^.{3}$",
  "😀|日",
];

const string = sample(text, (value, [a, b, c, d]) => ({
  type: "string",
  ...(c && { minLength: Math.max(0, length(value) - a) }),
  ...(d && { maxLength: length(value) + b }),
}));
const pattern = fc.constantFrom(...PATTERNS).chain((source) =>
  sample(fc.stringMatching(new RegExp(source, "u"), { size: "xsmall" }), (value, [a, b, c, d]) => ({
    type: "string",
    pattern: source,
    ...(c && { minLength: Math.max(0, length(value) - a) }),
    ...(d && { maxLength: length(value) + b }),
  })),
);
const format = fc.oneof(
  sample(fc.uuid(), () => ({ type: "string", format: "uuid" })),
  sample(fc.ipV4(), () => ({ type: "string", format: "ipv4" })),
  ...(
    [
      ["date", 0, 10],
      ["date-time", 0, 24],
      ["time", 11, 24],
    ] as const
  ).map(([name, from, to]) =>
    sample(
      fc
        .date({ noInvalidDate: true, min: new Date("1970-01-01"), max: new Date("2400-01-01") })
        .map((date) => date.toISOString().slice(from, to)),
      () => ({ type: "string", format: name }),
    ),
  ),
);
const integer = sample(fc.oneof(fc.integer({ min: -50, max: 50 }), fc.maxSafeInteger()), (value, [a, b, c, d]) => ({
  type: c ? "integer" : "number",
  ...(a < 2 ? { minimum: value - b } : a === 2 ? { exclusiveMinimum: value - b - 1 } : {}),
  ...(b < 2 ? { maximum: value + a } : b === 2 ? { exclusiveMaximum: value + a + 1 } : {}),
  ...(d && value !== 0 && Math.abs(value) <= 1000 && { multipleOf: Math.abs(value) }),
}));
const hundredths = sample(fc.integer({ min: -10_000, max: 10_000 }), (value, [a, b, c, d]) => ({
  type: "number",
  ...(c && { minimum: (value - a) / 100 }),
  ...(d && { maximum: (value + b) / 100 }),
})).map(({ schema, value }) => ({ schema, value: (value as number) / 100 }));
const double = sample(
  fc
    .double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 })
    .filter((x) => x === 0 || Math.abs(x) > 1e-300),
  (value, [a]) => (a ? { type: "number" } : value >= 0 ? { type: "number", minimum: 0 } : { exclusiveMaximum: 0 }),
).map(({ schema, value }) => ({ schema, value: Object.is(value, -0) ? 0 : value }));
const json = fc.jsonValue({ maxDepth: 2, noUnicodeString: false }).map(tidy);
const constant = fc
  .tuple(json, fc.array(json, { maxLength: 2 }), fc.boolean())
  .map(([value, others, one]): Sample => ({ value, schema: one ? { const: value } : { enum: [...others, value] } }));
const simple = fc.oneof(
  sample(fc.constant(null), (_, [a]) => (a ? { type: "null" } : { type: ["string", "null"] })),
  sample(fc.boolean(), (_, [a]) => (a ? { type: "boolean" } : { type: ["integer", "boolean"] })),
  sample(json, (_, [a]) => (a ? true : { description: "anything" })),
  ...[string, pattern, format, integer, hundredths, double, constant],
);

/** Without -0, which JSON does not keep, numbers beyond those that are written, and keys that JavaScript would sort. */
function tidy(value: unknown): unknown {
  if (typeof value === "number") return Math.abs(value) < 1e-300 || Math.abs(value) > 1e300 ? 0 : value;
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [`k${key}`, tidy(inner)]));
}

const NAMES = ["name", "a", "b", "a b", 'q"', "日本", "x-1", "__proto__x", "\\"];

export const { samples } = fc.letrec<{
  samples: Sample;
  list: Sample;
  object: Sample;
  choice: Sample;
  one: Sample;
  all: Sample;
}>((tie) => ({
  samples: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    simple,
    tie("object"),
    tie("list"),
    tie("choice"),
    tie("one"),
    tie("all"),
  ),
  list: fc
    .tuple(tie("samples"), fc.array(tie("samples"), { maxLength: 2 }), fc.nat(3), fc.nat(2), fc.boolean(), fc.boolean())
    .map(([item, prefix, more, slack, min, max]) => {
      const value = [...prefix.map((one) => one.value), ...Array(more).fill(item.value)];
      return {
        value,
        schema: {
          type: "array",
          ...(prefix.length && { prefixItems: prefix.map((one) => one.schema) }),
          items: item.schema,
          ...(min && { minItems: Math.max(0, value.length - slack) }),
          ...(max && { maxItems: value.length + slack }),
        },
      };
    }),
  object: fc
    .tuple(
      fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 4 }),
      fc.array(fc.tuple(tie("samples"), fc.nat(2)), { minLength: 4, maxLength: 4 }),
      fc.option(tie("samples")),
      fc.uniqueArray(text, { maxLength: 2 }),
      fc.nat(4),
    )
    .map(([names, values, extra, keys, kind]) => {
      const fields = names.map((name, i) => ({ name, sample: values[i][0], presence: values[i][1] }));
      const there = fields.filter(({ presence }) => presence > 0);
      const others = extra ? keys.map((key) => [`z${key}`, extra.value] as const) : [];
      const value = Object.fromEntries([...there.map(({ name, sample }) => [name, sample.value] as const), ...others]);
      const count = Object.keys(value).length;
      return {
        value,
        schema: {
          type: "object",
          properties: Object.fromEntries(fields.map(({ name, sample }) => [name, sample.schema])),
          required: there.filter(({ presence }) => presence > 1).map(({ name }) => name),
          ...(kind === 1 && others.length
            ? { patternProperties: { "^z": extra!.schema }, additionalProperties: false }
            : { additionalProperties: extra ? extra.schema : false }),
          ...(kind === 2 && { maxProperties: count }),
          ...(kind === 3 && { minProperties: there.length }),
        },
      };
    }),
  choice: fc
    .tuple(tie("samples"), fc.array(tie("samples"), { maxLength: 2 }), fc.nat(2))
    .map(([one, others, place]) => {
      const schemas = others.map(({ schema }) => schema);
      schemas.splice(place, 0, one.schema);
      return { value: one.value, schema: { anyOf: schemas } };
    }),
  one: fc.tuple(tie("samples"), tie("samples"), fc.nat(4)).map(([a, b, kind]) => {
    const tagged = (tag: string, { schema }: Sample) => ({
      type: "object",
      properties: { tag: { const: tag }, value: schema },
      required: ["tag", "value"],
      additionalProperties: false,
    });
    if (kind === 0)
      return {
        value: [a.value],
        schema: { oneOf: [{ type: "array", prefixItems: [a.schema], minItems: 1 }, { type: "null" }] },
      };
    return { value: { tag: "b", value: b.value }, schema: { oneOf: [tagged("a", a), tagged("b", b)] } };
  }),
  all: fc.tuple(tie("samples"), fc.nat(3)).map(([{ value, schema }, kind]) => ({
    value,
    schema: [
      { allOf: [schema, true] },
      { allOf: [{ $ref: "#/$defs/not there".replace("not there", "any") }, schema] },
      { allOf: [schema, schema] },
      { allOf: [{ enum: [value, "other"] }, schema] },
    ][kind],
  })),
}));
