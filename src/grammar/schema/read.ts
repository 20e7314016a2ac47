/** A schema as it was given: JSON within limits, its parts found by reference and named by JSON pointers. */
import { RwkvError } from "../../errors.ts";
import { excess, LIMITS } from "../limits.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Keywords = { readonly [keyword: string]: Json };

/** A schema and where it stands. Each has a number; the same object is the same schema. */
export interface Located {
  readonly id: number;
  readonly schema: Keywords | boolean;
  /** A JSON pointer, `#/properties/name`. */
  readonly at: string;
}

export const isObject = (value: Json): value is Keywords =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The pointer to what is called `key` within `at`. */
export const below = (at: string, key: string | number): string =>
  `${at}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;

export function wrong(at: string, what: string): RwkvError {
  return new RwkvError("input", `The schema is wrong at ${at}: ${what}.`);
}

export function refused(at: string, what: string): RwkvError {
  return new RwkvError("unsupported", `The schema cannot be used: ${what}, at ${at}.`);
}

export class Document {
  readonly root: Located;
  readonly #known = new Map<Keywords | boolean, Located>();
  readonly #anchors = new Map<string, Located>();

  /** @throws RwkvError `input` if it is no schema, `unsupported` if it is too large. */
  constructor(schema: unknown) {
    checkSchema(schema);
    this.root = this.locate(schema as Json, "#");
    this.#findAnchors(this.root);
  }

  /** The schema `value`, which stands at `at`. */
  locate(value: Json, at: string): Located {
    if (typeof value !== "boolean" && !isObject(value)) throw wrong(at, "a schema is an object, true or false");
    let known = this.#known.get(value);
    if (!known) {
      known = { id: this.#known.size, schema: value, at };
      this.#known.set(value, known);
    }
    return known;
  }

  /** What a `$ref` means. */
  resolve(reference: Json, at: string): Located {
    if (typeof reference !== "string") throw wrong(at, "$ref must be a string");
    if (!reference.startsWith("#")) throw refused(at, `$ref to another document, ${JSON.stringify(reference)}`);
    if (!/^#(\/|$)/.test(reference)) {
      const found = this.#anchors.get(reference.slice(1));
      if (!found) throw wrong(at, `there is no $anchor ${JSON.stringify(reference.slice(1))}`);
      return found;
    }
    let value = this.root.schema as Json;
    let path = "#";
    for (const part of reference.slice(2).split("/")) {
      if (reference === "#" || reference === "#/") break;
      let key: string;
      try {
        key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      } catch {
        throw wrong(at, `$ref ${JSON.stringify(reference)} is no JSON pointer`);
      }
      const next: Json | undefined = Array.isArray(value)
        ? /^\d+$/.test(key)
          ? value[Number(key)]
          : undefined
        : isObject(value) && Object.hasOwn(value, key)
          ? value[key]
          : undefined;
      if (next === undefined) throw wrong(at, `$ref ${JSON.stringify(reference)} leads nowhere`);
      value = next;
      path = below(path, key);
    }
    return this.locate(value, path);
  }

  #findAnchors(root: Located): void {
    const waiting: [Json, string][] = [[root.schema, root.at]];
    for (const [value, at] of waiting) {
      if (typeof value !== "object" || value === null) continue;
      if (isObject(value) && typeof value.$anchor === "string" && at !== "#") {
        if (this.#anchors.has(value.$anchor))
          throw wrong(at, `$anchor ${JSON.stringify(value.$anchor)} was used before`);
        this.#anchors.set(value.$anchor, this.locate(value, at));
      }
      for (const [key, inner] of Object.entries(value)) waiting.push([inner, below(at, key)]);
    }
  }
}

/**
 * Whether it is JSON, and not too much. Visits what occurs twice twice, so circles and what unfolds without end are found too.
 *
 * @throws RwkvError `input` or `unsupported`, saying where.
 */
export function checkSchema(schema: unknown): void {
  const waiting: [value: unknown, at: string, depth: number][] = [[schema, "#", 0]];
  let count = 0;
  for (let item = waiting.pop(); item; item = waiting.pop()) {
    const [value, at, depth] = item;
    if (++count > LIMITS.schemaValues) throw excess("the schema has too many values", LIMITS.schemaValues);
    if (value === null || typeof value === "boolean" || typeof value === "string") continue;
    if (typeof value === "number") {
      if (!Number.isFinite(value)) throw wrong(at, `${value} is no JSON`);
      continue;
    }
    if (typeof value !== "object") throw wrong(at, `${typeof value} is no JSON`);
    if (depth > LIMITS.schemaDepth)
      throw excess(`the schema is nested too deep, at ${at.slice(0, 100)}...`, LIMITS.schemaDepth);
    for (const [key, inner] of Object.entries(value)) {
      // As JSON.stringify has it, what is undefined is not there.
      if (inner === undefined && !Array.isArray(value)) continue;
      waiting.push([inner, depth < 10 ? below(at, key) : at, depth + 1]);
    }
  }
}
