/**
 * A schema as rules for JSON texts.
 *
 * Properties come in the order of the schema. White space may stand behind brackets, commas and colons and before closing
 * brackets: none, one space, or a new line and its indentation.
 */
import { type Automaton, both, draw, isEmpty, without } from "../characters.ts";
import type { Encoding } from "../encode.ts";
import type { Graph } from "../graph.ts";
import { excess, LIMITS } from "../limits.ts";
import { drawNumbers } from "./numbers.ts";
import { type Json, type Located, refused } from "./read.ts";
import { type Shape, Shapes } from "./shapes.ts";
import { oneOf, Texts } from "./texts.ts";
import { itemOf, Values } from "./values.ts";

/** How far lines may be indented, in spaces or tabs. */
const SPACES = 20;
const TABS = 8;

export interface Drawn {
  readonly root: number;
  /** Why some of the schemas accept nothing. */
  readonly reasons: readonly (readonly [at: string, why: string])[];
}

/** @throws RwkvError `input` naming a place in the schema that is wrong, `unsupported` one that cannot be had. */
export function drawSchema(schema: unknown, graph: Graph): Drawn {
  return new Drawer(schema, graph).draw();
}

/** A key and its value, in the properties beyond those that are named. */
interface Extra {
  readonly key: number;
  readonly value: number;
}

class Drawer {
  readonly #graph: Graph;
  readonly #shapes: Shapes;
  readonly #texts = new Texts();
  readonly #values: Values;
  /** Rules of values by the schemas that they satisfy, of strings and numbers by what is said of them. */
  readonly #rules = new Map<string, number>();
  readonly #waiting: [rule: number, schemas: readonly Located[]][] = [];
  readonly #space: number;

  constructor(schema: unknown, graph: Graph) {
    this.#graph = graph;
    this.#shapes = new Shapes(schema, (located, branches) => this.#checkOneOf(located, branches));
    this.#values = new Values(this.#shapes, this.#texts);
    this.#space = graph.rule("white space");
  }

  draw(): Drawn {
    const graph = this.#graph;
    const { start, end } = graph.rules[this.#space];
    const line = graph.state();
    graph.skip(start, end);
    graph.ascii(start, end, " ");
    graph.ascii(start, line, "\n");
    graph.repeat(line, end, 0, SPACES, (a, b) => graph.ascii(a, b, " "));
    graph.repeat(line, end, 1, TABS, (a, b) => graph.ascii(a, b, "\t"));
    const root = this.#rule([this.#shapes.document.root]);
    for (let item = this.#waiting.pop(); item; item = this.#waiting.pop()) {
      const [rule, schemas] = item;
      for (const shape of this.#shapes.of(schemas)) this.#shape(graph.rules[rule].start, graph.rules[rule].end, shape);
    }
    return { root, reasons: this.#shapes.reasons };
  }

  #checkOneOf(located: Located, branches: readonly Located[]): void {
    const rest = this.#shapes.withoutOneOf(located);
    for (const [j, second] of branches.entries())
      for (const [i, first] of branches.slice(0, j).entries())
        if (!this.#values.disjoint([rest, first], [rest, second]))
          throw refused(
            `${located.at}/oneOf`,
            `oneOf whose choices ${i} and ${j} may both accept a value, which would then be wrong; anyOf may be meant`,
          );
  }

  /** The rule of values that satisfy all the schemas. */
  #rule(schemas: readonly Located[]): number {
    const said = schemas.map((located) => this.#shapes.target(located)).filter(({ schema }) => schema !== true);
    const key = [...new Set(said.map(({ id }) => id))].sort((a, b) => a - b).join();
    return this.#once(`value ${key}`, said[0]?.at ?? "any value", (rule) => this.#waiting.push([rule, said]));
  }

  #once(key: string, name: string, make: (rule: number) => void): number {
    let rule = this.#rules.get(key);
    if (rule === undefined) {
      rule = this.#graph.rule(name);
      this.#rules.set(key, rule);
      make(rule);
    }
    return rule;
  }

  #shape(from: number, to: number, shape: Shape): void {
    if (shape.values) {
      const fitting = shape.values.filter((value) => this.#values.fits(shape, value));
      if (fitting.length === 0) this.#shapes.noReason(shape.at, "no value of enum or const fits the rest");
      for (const value of fitting) this.#value(from, to, value);
      return;
    }
    const { written } = shape;
    if (written.has("null")) this.#graph.ascii(from, to, "null");
    if (written.has("boolean")) for (const word of ["true", "false"]) this.#graph.ascii(from, to, word);
    if (written.has("integer") || written.has("fraction")) this.#number(from, to, shape);
    if (written.has("string")) this.#string(from, to, shape);
    if (written.has("array")) this.#list(from, to, shape);
    if (written.has("object")) this.#object(from, to, shape);
  }

  #value(from: number, to: number, value: Json): void {
    const graph = this.#graph;
    if (typeof value !== "object" || value === null) {
      graph.bytes(from, to, new TextEncoder().encode(JSON.stringify(value)));
      return;
    }
    const list = Array.isArray(value);
    const parts: [key: string | undefined, value: Json][] = list
      ? value.map((item: Json) => [undefined, item])
      : Object.entries(value).filter(([, inner]) => inner !== undefined);
    let at = graph.state();
    graph.ascii(from, at, list ? "[" : "{");
    at = this.#spaced(at);
    for (const [i, [key, inner]] of parts.entries()) {
      if (i > 0) at = this.#comma(at);
      if (key !== undefined) at = this.#key(at, key);
      const next = graph.state();
      this.#value(at, next, inner);
      at = next;
    }
    graph.ascii(parts.length ? this.#spaced(at) : at, to, list ? "]" : "}");
  }

  #spaced(from: number): number {
    const next = this.#graph.state();
    this.#graph.call(from, next, this.#space);
    return next;
  }

  #comma(from: number): number {
    const next = this.#graph.state();
    this.#graph.ascii(from, next, ",");
    return this.#spaced(next);
  }

  /** A key as it is written, the colon and what may follow that. */
  #key(from: number, key: string): number {
    const next = this.#graph.state();
    this.#graph.bytes(from, next, new TextEncoder().encode(`${JSON.stringify(key)}:`));
    return this.#spaced(next);
  }

  #number(from: number, to: number, { at, types, lower, upper, multiples }: Shape): void {
    const whole = !types.has("fraction");
    const key = JSON.stringify(["number", whole, lower, upper, multiples]);
    const rule = this.#once(key, "a number", (made) => {
      const { start, end } = this.#graph.rules[made];
      drawNumbers(this.#graph, start, end, { whole, lower, upper, multiples, at });
      if (lower && upper && lower.value > upper.value)
        this.#shapes.noReason(at, `the minimum ${lower.value} is above the maximum ${upper.value}`);
    });
    this.#graph.call(from, to, rule);
  }

  #string(from: number, to: number, shape: Shape): void {
    const { minLength, maxLength, texts } = shape;
    const key = JSON.stringify([
      "string",
      minLength,
      String(maxLength),
      texts.map(({ kind, source }) => [kind, source]).sort(),
    ]);
    const rule = this.#once(key, "a string", (made) => {
      const automaton = this.#texts.all(shape);
      if (isEmpty(automaton)) this.#shapes.noReason(shape.at, "no string has the length, the pattern and the format");
      this.#quoted(made, automaton, texts.length ? "plain" : "json");
    });
    this.#graph.call(from, to, rule);
  }

  #quoted(rule: number, automaton: Automaton, encoding: Encoding): void {
    const graph = this.#graph;
    const { start, end } = graph.rules[rule];
    const [open, close] = [graph.state(), graph.state()];
    graph.ascii(start, open, '"');
    draw(graph, open, close, automaton, encoding);
    graph.ascii(close, end, '"');
  }

  #list(from: number, to: number, shape: Shape): void {
    const graph = this.#graph;
    const { at, lists, minItems } = shape;
    const longest = Math.max(0, ...lists.map(({ prefix }) => prefix.length));
    // Items that nothing is said of are not written beside some of which something is.
    const open = longest === 0 || lists.some(({ items }) => items);
    let most = open ? shape.maxItems : Math.min(shape.maxItems, longest);
    if (minItems > shape.maxItems) {
      this.#shapes.noReason(at, `minItems ${minItems} is above maxItems ${shape.maxItems}`);
      return;
    }
    if (minItems > most) most = minItems;
    if (minItems > LIMITS.listLength)
      throw refused(at, `minItems ${minItems}; lists have up to ${LIMITS.listLength} items here`);
    if (most !== Number.POSITIVE_INFINITY) most = Math.min(most, LIMITS.listLength);
    const steps = most === Number.POSITIVE_INFINITY ? Math.max(minItems, longest, 1) : most;

    const opened = graph.state();
    graph.ascii(from, opened, "[");
    let state = this.#spaced(opened);
    if (minItems === 0) graph.ascii(state, to, "]");
    const item = (a: number, i: number, b: number) =>
      graph.call(i === 0 ? a : this.#comma(a), b, this.#rule(itemOf(shape, i)));
    for (let i = 0; i < steps; i++) {
      const next = graph.state();
      item(state, i, next);
      state = next;
      if (i + 1 >= minItems) graph.ascii(this.#spaced(state), to, "]");
    }
    if (most === Number.POSITIVE_INFINITY) item(state, steps, state);
  }

  #object(from: number, to: number, shape: Shape): void {
    const graph = this.#graph;
    const { at, minProperties: least } = shape;
    const names = this.#names(shape);
    if (!names) return;
    const extras = this.#extras(shape);
    if (least > names.length + (extras.length ? 1 : 0)) {
      if (extras.length === 0) {
        this.#shapes.noReason(at, `only ${names.length} properties may be there`);
        return;
      }
      throw refused(
        at,
        `minProperties ${least}, with ${names.length} names known; others may be written twice, and count once`,
      );
    }
    // Properties are counted only where that matters; otherwise it is known whether there are some.
    const counted = least > 1 || shape.maxProperties !== Number.POSITIVE_INFINITY;
    const most = Math.min(shape.maxProperties, LIMITS.listLength);
    const cap = counted ? names.length : 1;
    const extraCap = shape.maxProperties === Number.POSITIVE_INFINITY ? 1 : most;
    if ((names.length + 1) * (cap + 1) + (extras.length ? (cap + 1) * (extraCap + 1) : 0) > LIMITS.propertyCounts)
      throw excess(`the properties at ${at} cannot be counted`, LIMITS.propertyCounts);

    const opened = graph.state();
    graph.ascii(from, opened, "{");
    // States by how many named properties and how many others were written; 0 and 0 is where a comma is not needed.
    let states = new Map<number, number>([[0, this.#spaced(opened)]]);
    for (const { name, required, value } of names) {
      const after = new Map<number, number>();
      const at = (count: number): number => {
        if (!after.has(count)) after.set(count, graph.state());
        return after.get(count)!;
      };
      // Where both ways lead to the same state, the property is drawn once.
      const starts = new Map<number, number>();
      for (const [count, state] of states) {
        if (!required) graph.skip(state, at(count));
        const next = Math.min(count + 1, cap);
        if (count + 1 > most) continue;
        let start = starts.get(next);
        if (start === undefined) {
          start = graph.state();
          starts.set(next, start);
          graph.call(this.#key(start, name), at(next), value);
        }
        graph.skip(count === 0 ? state : this.#comma(state), start);
      }
      states = after;
    }

    const places = new Map<string, number>();
    const place = (count: number, others: number): number => {
      const key = `${count} ${others}`;
      let state = places.get(key);
      if (state === undefined) {
        state = graph.state();
        places.set(key, state);
        if (count + Math.min(others, 1) >= least)
          graph.ascii(count + others === 0 ? state : this.#spaced(state), to, "}");
        if (extras.length && (!counted || count + others < most)) {
          const start = count + others === 0 ? state : this.#comma(state);
          const next = place(count, Math.min(others + 1, extraCap));
          for (const { key, value } of extras) {
            const colon = graph.state();
            const after = graph.state();
            graph.call(start, colon, key);
            graph.ascii(colon, after, ":");
            graph.call(this.#spaced(after), next, value);
          }
        }
      }
      return state;
    };
    for (const [count, state] of states) graph.skip(state, place(count, 0));
  }

  /** The properties with a name, in order; undefined if a required one cannot be. */
  #names(shape: Shape): { name: string; required: boolean; value: number }[] | undefined {
    const known = new Set([...shape.objects.flatMap(({ named }) => [...named.keys()]), ...shape.required]);
    const names: { name: string; required: boolean; value: number }[] = [];
    for (const name of known) {
      const required = shape.required.includes(name);
      if (shape.names.every((schema) => this.#values.accepts([schema], name)))
        names.push({ name, required, value: this.#rule(this.#values.property(shape, name)) });
      else if (required) {
        this.#shapes.noReason(shape.at, `propertyNames forbid ${JSON.stringify(name)}, which is required`);
        return undefined;
      }
    }
    return names;
  }

  /** Properties without a name, by the patterns that their keys have. */
  #extras(shape: Shape): Extra[] {
    const { at, objects } = shape;
    const patterns = objects.flatMap((object) => object.patterns.map((pattern) => ({ ...pattern, object })));
    if (patterns.length > LIMITS.keyPatterns)
      throw excess(`there are ${patterns.length} patternProperties at ${at}`, LIMITS.keyPatterns);
    // Where something is said of properties, others have to be asked for.
    const said = objects.some(({ named, patterns }) => named.size || patterns.length);
    const open = !said || objects.some(({ additional }) => additional);
    if (!open && patterns.length === 0) return [];
    const what = `the keys at ${at}`;
    const named = [...new Set([...objects.flatMap(({ named }) => [...named.keys()]), ...shape.required])];
    const keys = without(this.#keys(shape), oneOf(named, what), what);
    const extras: Extra[] = [];
    const go = (rest: typeof patterns, keys: Automaton, matched: typeof patterns): void => {
      if (isEmpty(keys)) return;
      const [next, ...others] = rest;
      if (next) {
        const found = this.#texts.one({ kind: "pattern", source: next.source, at: next.at });
        go(others, both(keys, found, what), [...matched, next]);
        go(others, without(keys, found, what), matched);
        return;
      }
      if (!open && matched.length === 0) return;
      const value = objects.flatMap((object) => {
        const own = matched.filter((pattern) => pattern.object === object).map(({ schema }) => schema);
        return own.length ? own : (object.additional ?? []);
      });
      if (value.some(({ schema }) => schema === false)) return;
      const key = this.#graph.rule("a key");
      this.#quoted(key, keys, "plain");
      extras.push({ key, value: this.#rule(value) });
    };
    go(patterns, keys, []);
    return extras;
  }

  /** The keys that `propertyNames` allow. */
  #keys(shape: Shape): Automaton {
    const all = shape.names.length ? this.#shapes.of(shape.names) : [];
    if (shape.names.length && all.length === 0) return oneOf([], "keys");
    if (all.length > 1) throw refused(shape.at, "propertyNames with a choice");
    const [names = { ...EMPTY, at: shape.at }] = all;
    if (!names.types.has("string")) return oneOf([], "keys");
    if (!names.values) return this.#texts.all(names);
    return oneOf(
      names.values.filter((name): name is string => typeof name === "string" && this.#values.fits(names, name)),
      "keys",
    );
  }
}

/** A shape that says nothing, of strings. */
const EMPTY: Shape = {
  at: "#",
  types: new Set(["string"]),
  written: new Set(["string"]),
  values: undefined,
  lower: undefined,
  upper: undefined,
  multiples: [],
  minLength: 0,
  maxLength: Number.POSITIVE_INFINITY,
  texts: [],
  minItems: 0,
  maxItems: Number.POSITIVE_INFINITY,
  lists: [],
  minProperties: 0,
  maxProperties: Number.POSITIVE_INFINITY,
  objects: [],
  required: [],
  names: [],
};
