/** What a schema says of strings: lengths, patterns and formats as automata. */
import { RwkvError } from "../../errors.ts";
import { type Automaton, accepts, automaton, both, isEmpty, NONE, ofLength } from "../characters.ts";
import { ALL, charset, points } from "../charset.ts";
import { LIMITS } from "../limits.ts";
import { anywhere, wholeText } from "../regex.ts";
import { FORMATS } from "./formats.ts";
import { refused } from "./read.ts";
import type { Shape } from "./shapes.ts";

type Text = Shape["texts"][number];

export class Texts {
  readonly #known = new Map<string, Automaton>();

  /** The strings that a pattern or a format allows. */
  one({ kind, source, at }: Text): Automaton {
    const key = `${kind} ${source}`;
    let known = this.#known.get(key);
    if (!known) {
      if (kind === "pattern") known = anywhere(source, `the pattern at ${at}`);
      else if (!Object.hasOwn(FORMATS, source))
        throw refused(at, `the format ${JSON.stringify(source)}; there are ${Object.keys(FORMATS).join(", ")}`);
      else known = wholeText(FORMATS[source], `the format ${source}`);
      this.#known.set(key, known);
    }
    return known;
  }

  /** The strings of a shape, of as many characters as are written at most. */
  all(shape: Shape): Automaton {
    const { at, minLength, maxLength, texts } = shape;
    if (minLength > LIMITS.stringLength)
      throw refused(at, `minLength ${minLength}; strings have up to ${LIMITS.stringLength} characters here`);
    if (minLength > maxLength) return NOTHING;
    const bounded = maxLength === Number.POSITIVE_INFINITY ? maxLength : Math.min(maxLength, LIMITS.stringLength);
    const free = minLength === 0 && bounded === Number.POSITIVE_INFINITY;
    const parts = [
      ...texts.map((text) => this.one(text)),
      ...(free && texts.length ? [] : [ofLength(minLength, bounded)]),
    ];
    return parts.reduce((a, b) => both(a, b, `the string at ${at}`));
  }

  accepts(shape: Shape, text: string): boolean {
    const { minLength, maxLength, texts } = shape;
    const characters = points(text);
    if (characters.length < minLength || characters.length > maxLength) return false;
    return texts.every((one) => accepts(this.one(one), characters));
  }

  /** Whether a pattern is found in a text. */
  matches(source: string, at: string, text: string): boolean {
    return accepts(this.one({ kind: "pattern", source, at }), points(text));
  }

  /** Whether no string is of both shapes, as far as that is found out. */
  disjoint(a: Shape, b: Shape): boolean {
    if (a.minLength > b.maxLength || b.minLength > a.maxLength) return true;
    if (a.texts.length === 0 || b.texts.length === 0) return false;
    try {
      return isEmpty(both(this.all(a), this.all(b), "a string"));
    } catch (error) {
      if (error instanceof RwkvError && error.code === "unsupported") return false;
      throw error;
    }
  }
}

/** No string at all. */
const NOTHING: Automaton = { classes: [ALL], next: Int32Array.of(NONE), accepting: new Uint8Array(1) };

/** Exactly these strings. */
export function oneOf(texts: readonly string[], what: string): Automaton {
  if (texts.length === 0) return NOTHING;
  const parts = texts.map((text) => ({
    kind: "sequence" as const,
    parts: points(text).map((point) => ({ kind: "set" as const, set: charset([point, point]) })),
  }));
  return automaton({ kind: "choice", parts }, what);
}
