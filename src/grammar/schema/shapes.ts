/**
 * What a schema says, without references and combinations: a list of shapes, of which a value must have one.
 *
 * A shape is the conjunction of keywords that hold together: those of a schema, of what it refers to, of its `allOf`, and of one choice
 * of its `anyOf` and `oneOf`.
 */
import { excess, LIMITS } from "../limits.ts";
import { below, Document, isObject, type Json, type Keywords, type Located, refused, wrong } from "./read.ts";

/** Numbers that are whole, and others. */
export type Type = "null" | "boolean" | "integer" | "fraction" | "string" | "array" | "object";
export const TYPES: readonly Type[] = ["null", "boolean", "integer", "fraction", "string", "array", "object"];

export interface Bound {
  readonly value: number;
  /** The bound itself is left out. */
  readonly open: boolean;
}

/** What one schema says of objects' properties; `additional` is for those that its others do not name. */
export interface Properties {
  readonly named: ReadonlyMap<string, Located>;
  readonly patterns: readonly { readonly source: string; readonly at: string; readonly schema: Located }[];
  readonly additional: Located | undefined;
}

export interface Shape {
  /** Where the first of its schemas stands, for messages. */
  readonly at: string;
  /** What a value may be, and which of these are written: where no type is given, those that keywords speak of. */
  readonly types: ReadonlySet<Type>;
  readonly written: ReadonlySet<Type>;
  /** Of `enum` and `const`. */
  readonly values: readonly Json[] | undefined;
  readonly lower: Bound | undefined;
  readonly upper: Bound | undefined;
  /** Whole numbers of which a number is a multiple. */
  readonly multiples: readonly number[];
  readonly minLength: number;
  readonly maxLength: number;
  readonly texts: readonly { readonly kind: "pattern" | "format"; readonly source: string; readonly at: string }[];
  readonly minItems: number;
  readonly maxItems: number;
  readonly lists: readonly { readonly prefix: readonly Located[]; readonly items: Located | undefined }[];
  readonly minProperties: number;
  readonly maxProperties: number;
  readonly objects: readonly Properties[];
  readonly required: readonly string[];
  readonly names: readonly Located[];
}

/** Keywords that say nothing of what is valid. */
const ANNOTATIONS = new Set(
  "title description default examples deprecated readOnly writeOnly $comment $schema $defs definitions $anchor".split(
    " ",
  ),
);

/** Keywords that only concern values of some types. */
const IMPLIED: Record<string, Type[]> = {
  ...Object.fromEntries(
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"].map((k) => [
      k,
      ["integer", "fraction"],
    ]),
  ),
  ...Object.fromEntries(["minLength", "maxLength", "pattern", "format"].map((k) => [k, ["string"]])),
  ...Object.fromEntries(["items", "prefixItems", "minItems", "maxItems", "uniqueItems"].map((k) => [k, ["array"]])),
  ...Object.fromEntries(
    "properties required additionalProperties patternProperties propertyNames minProperties maxProperties"
      .split(" ")
      .map((k) => [k, ["object"]]),
  ),
};
const OTHERS = new Set(["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"]);

/** Which schemas a schema was reached through without a value in between. */
interface Path {
  readonly id: number;
  readonly before: Path | undefined;
}

export class Shapes {
  readonly document: Document;
  /** Why schemas have no shape at all: where, and what is wrong there. */
  readonly reasons: [at: string, why: string][] = [];
  /** Asked of each schema with a `oneOf`, once. */
  readonly #checkOneOf: (schema: Located, branches: readonly Located[]) => void;
  readonly #checked = new Set<number>();
  readonly #plain = new Map<number, Located>();
  readonly #known = new Map<string, Shape[]>();

  constructor(schema: unknown, checkOneOf: (schema: Located, branches: readonly Located[]) => void) {
    this.document = new Document(schema);
    this.#checkOneOf = checkOneOf;
  }

  /** The shapes of a value that all of the schemas accept. */
  of(schemas: readonly Located[]): Shape[] {
    const key = schemas.map(({ id }) => id).join();
    let shapes = this.#known.get(key);
    if (!shapes) {
      shapes = this.#choices(schemas).flatMap((chosen) => this.#shape(chosen) ?? []);
      this.#known.set(key, shapes);
    }
    return shapes;
  }

  /** The schema without its `oneOf`. */
  withoutOneOf(located: Located): Located {
    let plain = this.#plain.get(located.id);
    if (!plain) {
      const { oneOf: _, ...rest } = located.schema as Keywords;
      plain = this.document.locate(rest, located.at);
      this.#plain.set(located.id, plain);
    }
    return plain;
  }

  /** What a schema that is nothing but a reference means. */
  target(located: Located): Located {
    const seen = new Set<number>();
    for (let at = located; ; ) {
      const { id, schema } = at;
      if (typeof schema === "boolean" || schema.$ref === undefined || seen.has(id)) return at;
      if (Object.keys(schema).some((keyword) => keyword !== "$ref" && !ANNOTATIONS.has(keyword))) return at;
      seen.add(id);
      at = this.document.resolve(schema.$ref, below(at.at, "$ref"));
    }
  }

  noReason(at: string, why: string): void {
    if (this.reasons.length < 20) this.reasons.push([at, why]);
  }

  /** Every way to choose: which schemas hold together. */
  #choices(schemas: readonly Located[]): Located[][] {
    const results: Located[][] = [];
    let work = 0;
    const go = (chosen: Map<number, Located>, waiting: { located: Located; path: Path | undefined }[]): void => {
      for (let item = waiting.pop(); item; item = waiting.pop()) {
        const { located, path } = item;
        const { id, schema, at } = located;
        if (++work > LIMITS.alternatives * 50 || results.length > LIMITS.alternatives)
          throw excess(`the anyOf, oneOf and allOf at ${at} can be combined in too many ways`, LIMITS.alternatives);
        let up = path;
        while (up && up.id !== id) up = up.before;
        if (up) {
          this.noReason(at, "it refers back to itself, with nothing in between");
          return;
        }
        if (chosen.has(id) || schema === true) continue;
        if (schema === false) {
          this.noReason(at, "false accepts nothing");
          return;
        }
        chosen.set(id, located);
        const step = { id, before: path };
        // What is to come is a stack: the last is taken first.
        for (const part of [...(this.#parts(located, "allOf") ?? [])].reverse())
          waiting.push({ located: part, path: step });
        if (schema.$ref !== undefined)
          waiting.push({ located: this.document.resolve(schema.$ref, below(at, "$ref")), path: step });
        const groups = [this.#parts(located, "anyOf"), this.#parts(located, "oneOf")].filter(
          (group) => group !== undefined,
        );
        if (groups[0] === undefined) continue;
        if (schema.oneOf !== undefined && !this.#checked.has(id)) {
          this.#checked.add(id);
          this.#checkOneOf(located, this.#parts(located, "oneOf")!);
        }
        for (const first of groups[0])
          for (const second of groups[1] ?? [undefined]) {
            const choice = [...(second ? [second] : []), first].map((part) => ({ located: part, path: step }));
            go(new Map(chosen), [...waiting, ...choice]);
          }
        return;
      }
      results.push([...chosen.values()]);
    };
    go(new Map(), schemas.map((located) => ({ located, path: undefined })).reverse());
    return results;
  }

  #parts({ schema, at }: Located, keyword: string): Located[] | undefined {
    const list = (schema as Keywords)[keyword];
    if (list === undefined) return undefined;
    const place = below(at, keyword);
    if (!Array.isArray(list) || list.length === 0)
      throw wrong(place, `${keyword} must be a list of schemas, not empty`);
    return list.map((part: Json, i) => this.document.locate(part, below(place, i)));
  }

  #shape(schemas: readonly Located[]): Shape | undefined {
    const at = schemas[0]?.at ?? "#";
    let types: Set<Type> | undefined;
    const implied = new Set<Type>();
    let values: readonly Json[] | undefined;
    let lower: Bound | undefined;
    let upper: Bound | undefined;
    const multiples: number[] = [];
    let [minLength, maxLength, minItems, maxItems] = [0, Number.POSITIVE_INFINITY, 0, Number.POSITIVE_INFINITY];
    let [minProperties, maxProperties] = [0, Number.POSITIVE_INFINITY];
    const texts: Shape["texts"][number][] = [];
    const lists: Shape["lists"][number][] = [];
    const objects: Properties[] = [];
    const required = new Set<string>();
    const names: Located[] = [];
    for (const located of schemas) {
      const schema = located.schema as Keywords;
      const read = this.document;
      for (const [keyword, value] of Object.entries(schema)) {
        if (value === undefined || ANNOTATIONS.has(keyword) || keyword.startsWith("x-")) continue;
        const place = below(located.at, keyword);
        for (const type of IMPLIED[keyword] ?? []) implied.add(type);
        switch (keyword) {
          case "$id":
            if (located.at !== "#") throw refused(place, "a schema of its own within the schema ($id)");
            break;
          case "type": {
            const given = typesOf(value, place);
            types = types ? new Set([...types].filter((type) => given.has(type))) : given;
            break;
          }
          case "const":
          case "enum": {
            const given: readonly Json[] = keyword === "const" ? [value] : (value as readonly Json[]);
            if (!Array.isArray(given)) throw wrong(place, "enum must be a list of values");
            values = values ? values.filter((one) => given.some((other) => sameJson(one, other))) : given;
            break;
          }
          case "minimum":
          case "exclusiveMinimum": {
            const bound = { value: number(value, place), open: keyword !== "minimum" };
            if (!lower || bound.value > lower.value || (bound.value === lower.value && bound.open)) lower = bound;
            break;
          }
          case "maximum":
          case "exclusiveMaximum": {
            const bound = { value: number(value, place), open: keyword !== "maximum" };
            if (!upper || bound.value < upper.value || (bound.value === upper.value && bound.open)) upper = bound;
            break;
          }
          case "multipleOf": {
            const step = number(value, place);
            if (step <= 0) throw wrong(place, "multipleOf must be above 0");
            if (!Number.isInteger(step) || step > LIMITS.multiple)
              throw refused(place, `multipleOf ${step}; it may be a whole number from 1 to ${LIMITS.multiple}`);
            multiples.push(step);
            break;
          }
          case "minLength":
            minLength = Math.max(minLength, natural(value, place));
            break;
          case "maxLength":
            maxLength = Math.min(maxLength, natural(value, place));
            break;
          case "minItems":
            minItems = Math.max(minItems, natural(value, place));
            break;
          case "maxItems":
            maxItems = Math.min(maxItems, natural(value, place));
            break;
          case "minProperties":
            minProperties = Math.max(minProperties, natural(value, place));
            break;
          case "maxProperties":
            maxProperties = Math.min(maxProperties, natural(value, place));
            break;
          case "pattern":
          case "format":
            if (typeof value !== "string") throw wrong(place, `${keyword} must be a string`);
            texts.push({ kind: keyword, source: value, at: place });
            break;
          case "uniqueItems":
            if (value !== false) throw refused(place, "uniqueItems");
            break;
          case "items":
            if (Array.isArray(value)) throw refused(place, "a list of items; it is called prefixItems now");
            if (schema.prefixItems === undefined) lists.push({ prefix: [], items: read.locate(value, place) });
            break;
          case "prefixItems": {
            if (!Array.isArray(value)) throw wrong(place, "prefixItems must be a list of schemas");
            const items =
              schema.items === undefined ? undefined : read.locate(schema.items, below(located.at, "items"));
            lists.push({ prefix: value.map((item: Json, i) => read.locate(item, below(place, i))), items });
            break;
          }
          case "properties":
          case "patternProperties":
          case "additionalProperties":
            // The three are read together, at the first that is there.
            if (keyword === Object.keys(schema).find((k) => k in PROPERTY_KEYWORDS && schema[k] !== undefined))
              objects.push(this.#properties(located));
            break;
          case "propertyNames":
            names.push(read.locate(value, place));
            break;
          case "required":
            if (!Array.isArray(value) || value.some((name) => typeof name !== "string"))
              throw wrong(place, "required must be a list of names");
            for (const name of value) required.add(name);
            break;
          default:
            if (!OTHERS.has(keyword)) throw refused(place, `the keyword ${JSON.stringify(keyword)}`);
        }
      }
    }
    const written = types ?? (implied.size ? implied : new Set(TYPES));
    types ??= new Set(TYPES);
    if (types.size === 0 || values?.length === 0) {
      this.noReason(at, types.size ? "no value of enum or const is left" : "no type is left");
      return undefined;
    }
    return {
      ...{
        at,
        types,
        written,
        values,
        lower,
        upper,
        multiples,
        minLength,
        maxLength,
        texts,
        minItems,
        maxItems,
        lists,
      },
      ...{ minProperties, maxProperties, objects, required: [...required], names },
    };
  }

  #properties({ schema, at }: Located): Properties {
    const read = this.document;
    const { properties = {}, patternProperties = {}, additionalProperties } = schema as Keywords;
    const named = new Map<string, Located>();
    const patterns: Properties["patterns"][number][] = [];
    if (!isObject(properties)) throw wrong(below(at, "properties"), "properties must be an object");
    if (!isObject(patternProperties))
      throw wrong(below(at, "patternProperties"), "patternProperties must be an object");
    for (const [name, value] of Object.entries(properties))
      if (value !== undefined) named.set(name, read.locate(value, below(below(at, "properties"), name)));
    for (const [source, value] of Object.entries(patternProperties)) {
      const place = below(below(at, "patternProperties"), source);
      if (value !== undefined) patterns.push({ source, at: place, schema: read.locate(value, place) });
    }
    const additional =
      additionalProperties === undefined
        ? undefined
        : read.locate(additionalProperties, below(at, "additionalProperties"));
    return { named, patterns, additional };
  }
}

const PROPERTY_KEYWORDS = { properties: 1, patternProperties: 1, additionalProperties: 1 };

function typesOf(value: Json, at: string): Set<Type> {
  const names = Array.isArray(value) ? value : [value];
  if (names.length === 0) throw wrong(at, "type must name a type");
  return new Set(
    names.flatMap((name: Json): Type[] => {
      if (name === "number") return ["integer", "fraction"];
      const type = TYPES.find((known) => known === name && known !== "fraction");
      if (!type) throw wrong(at, `${JSON.stringify(name)} is no type`);
      return [type];
    }),
  );
}

function number(value: Json, at: string): number {
  if (typeof value !== "number") throw wrong(at, "a number should be here");
  return value;
}

function natural(value: Json, at: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
    throw wrong(at, "a whole number from 0 should be here");
  return value;
}

export function sameJson(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return (
    keys.length === others.length &&
    keys.every((key) => Object.hasOwn(b, key) && sameJson((a as Keywords)[key], (b as Keywords)[key]))
  );
}
