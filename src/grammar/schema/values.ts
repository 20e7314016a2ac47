/** Whether a value is of a shape, and whether no value is of two: for `enum` beside other keywords, and for `oneOf`. */
import { isObject, type Json, type Located } from "./read.ts";
import { type Properties, type Shape, type Shapes, sameJson, type Type } from "./shapes.ts";
import type { Texts } from "./texts.ts";

/** How deep properties within properties are looked at to find two schemas disjoint. */
const DEPTH = 6;

export class Values {
  readonly #shapes: Shapes;
  readonly #texts: Texts;

  constructor(shapes: Shapes, texts: Texts) {
    this.#shapes = shapes;
    this.#texts = texts;
  }

  accepts(schemas: readonly Located[], value: Json): boolean {
    return this.#shapes.of(schemas).some((shape) => this.fits(shape, value));
  }

  fits(shape: Shape, value: Json): boolean {
    if (shape.values && !shape.values.some((one) => sameJson(one, value))) return false;
    if (!shape.types.has(typeOf(value))) return false;
    if (typeof value === "number") return this.#numberFits(shape, value);
    if (typeof value === "string") return this.#texts.accepts(shape, value);
    if (Array.isArray(value)) {
      if (value.length < shape.minItems || value.length > shape.maxItems) return false;
      return value.every((item: Json, i) => this.accepts(itemOf(shape, i), item));
    }
    return !isObject(value) || this.#objectFits(shape, value);
  }

  #numberFits({ lower, upper, multiples }: Shape, value: number): boolean {
    if (lower && (value < lower.value || (lower.open && value === lower.value))) return false;
    if (upper && (value > upper.value || (upper.open && value === upper.value))) return false;
    return multiples.every((step) => value % step === 0);
  }

  #objectFits(shape: Shape, value: { readonly [key: string]: Json }): boolean {
    const keys = Object.keys(value);
    if (keys.length < shape.minProperties || keys.length > shape.maxProperties) return false;
    if (!shape.required.every((name) => Object.hasOwn(value, name))) return false;
    return keys.every(
      (key) =>
        shape.names.every((names) => this.accepts([names], key)) && this.accepts(this.property(shape, key), value[key]),
    );
  }

  /** The schemas that the value of a property must satisfy. */
  property(shape: Shape, name: string): Located[] {
    return shape.objects.flatMap((object) => schemasOf(object, name, this.#texts));
  }

  /** Whether no value satisfies both, as far as that is found out. */
  disjoint(a: readonly Located[], b: readonly Located[], depth = DEPTH): boolean {
    if (depth === 0) return false;
    const others = this.#shapes.of(b);
    return this.#shapes.of(a).every((shape) => others.every((other) => this.#apart(shape, other, depth)));
  }

  #apart(a: Shape, b: Shape, depth: number): boolean {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ])
      if (one.values) return !one.values.some((value) => this.fits(one, value) && this.fits(other, value));
    const common = [...a.types].filter((type) => b.types.has(type));
    return common.every((type) => this.#typeApart(type, a, b, depth));
  }

  #typeApart(type: Type, a: Shape, b: Shape, depth: number): boolean {
    switch (type) {
      case "integer":
      case "fraction":
        return [
          [a, b],
          [b, a],
        ].some(
          ([one, other]) =>
            one.upper &&
            other.lower &&
            (one.upper.value < other.lower.value ||
              (one.upper.value === other.lower.value && (one.upper.open || other.lower.open))),
        );
      case "string":
        return this.#texts.disjoint(a, b);
      case "array": {
        if (a.minItems > b.maxItems || b.minItems > a.maxItems) return true;
        // Of the items that both must have, one differs.
        const sure = Math.min(Math.max(a.minItems, b.minItems), 20);
        return Array.from({ length: sure }).some((_, i) => this.disjoint(itemOf(a, i), itemOf(b, i), depth - 1));
      }
      case "object": {
        if (a.minProperties > b.maxProperties || b.minProperties > a.maxProperties) return true;
        const sure = new Set([...a.required, ...b.required]);
        return [...sure].some((name) => this.disjoint(this.property(a, name), this.property(b, name), depth - 1));
      }
      default:
        return false;
    }
  }
}

/** The schemas of the item at a place. */
export const itemOf = ({ lists }: Shape, i: number): Located[] =>
  lists.flatMap(({ prefix, items }) => prefix[i] ?? items ?? []);

function schemasOf({ named, patterns, additional }: Properties, name: string, texts: Texts): Located[] {
  const found = patterns.filter(({ source, at }) => texts.matches(source, at, name)).map(({ schema }) => schema);
  const own = named.get(name);
  if (own) found.push(own);
  return found.length || !additional ? found : [additional];
}

function typeOf(value: Json): Type {
  if (value === null) return "null";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "fraction";
  if (Array.isArray(value)) return "array";
  return typeof value as "boolean" | "string" | "object";
}
