/**
 * GBNF, the notation for grammars that llama.cpp uses: rules `name ::= ...` of texts in quotes, characters in brackets, a dot
 * for any character, other rules, groups, and * + ? {m,n} behind them. `root` is the rule that the whole text has to follow.
 */
import { RwkvError } from "../errors.ts";
import { ALL, type Charset, charset, complement, LONE, union } from "./charset.ts";
import { encoded } from "./encode.ts";
import type { Graph } from "./graph.ts";
import { excess, LIMITS } from "./limits.ts";

const NAME = /[A-Za-z0-9_-]/;
const DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };
const LETTERS: Record<string, string> = {
  t: "\t",
  r: "\r",
  n: "\n",
  "\\": "\\",
  '"': '"',
  "[": "[",
  "]": "]",
  "-": "-",
};

/** Draws the grammar's rules into the graph; the number of the rule `root`. */
export function parseGbnf(text: string, graph: Graph): number {
  if (typeof text !== "string") throw new RwkvError("input", "grammar must be a string.");
  if (text.length > LIMITS.grammarLength)
    throw excess(`the grammar has ${text.length} characters`, LIMITS.grammarLength);
  return new Parser(text, graph).parse();
}

/** Draws what it stands for between two states. */
type Draw = (from: number, to: number) => void;

class Parser {
  readonly #text: string;
  readonly #graph: Graph;
  /** Where each rule is first used, if it is used, and whether it was defined. */
  readonly #rules = new Map<string, { rule: number; used: number; defined: boolean }>();
  #at = 0;
  #depth = 0;

  constructor(text: string, graph: Graph) {
    this.#text = text;
    this.#graph = graph;
  }

  parse(): number {
    this.#space(true);
    while (this.#at < this.#text.length) this.#rule();
    for (const [name, { used, defined }] of this.#rules)
      if (!defined) throw this.#wrong(`the rule ${name} is used here and defined nowhere`, used);
    const root = this.#rules.get("root");
    if (!root) throw new RwkvError("input", "The grammar has no rule called root.");
    return root.rule;
  }

  #wrong(what: string, at = this.#at): RwkvError {
    return new RwkvError("input", `The grammar is wrong at ${this.#place(at)}: ${what}.`);
  }

  #place(at: number): string {
    const before = this.#text.slice(0, at).split("\n");
    return `line ${before.length}, column ${Array.from(before[before.length - 1]).length + 1}`;
  }

  #eat(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** Passes over spaces and comments; over line ends only if `lines`, for they end a rule. */
  #space(lines: boolean): void {
    for (;;) {
      const next = this.#text[this.#at];
      if (next === " " || next === "\t" || (lines && (next === "\n" || next === "\r"))) this.#at++;
      else if (next === "#") {
        const end = /[\r\n]|$/.exec(this.#text.slice(this.#at))!;
        this.#at += end.index;
      } else return;
    }
  }

  #name(): string {
    const from = this.#at;
    while (this.#at < this.#text.length && NAME.test(this.#text[this.#at])) this.#at++;
    if (this.#at === from) throw this.#wrong("the name of a rule should be here");
    return this.#text.slice(from, this.#at);
  }

  #known(name: string, used: number): { rule: number; used: number; defined: boolean } {
    let known = this.#rules.get(name);
    if (!known) {
      known = { rule: this.#graph.rule(name), used, defined: false };
      this.#rules.set(name, known);
    }
    return known;
  }

  #rule(): void {
    const from = this.#at;
    const name = this.#name();
    this.#space(false);
    if (!this.#eat("::=")) throw this.#wrong(`::= should follow the name ${name}`);
    const known = this.#known(name, from);
    if (known.defined) throw this.#wrong(`the rule ${name} is defined a second time`, from);
    known.defined = true;
    this.#space(true);
    const draw = this.#choice(false);
    if (this.#at < this.#text.length && !/[\r\n]/.test(this.#text[this.#at]))
      throw this.#wrong(
        this.#text[this.#at] === ")" ? "a parenthesis is closed that was not opened" : "a line should end here",
      );
    const { start, end } = this.#graph.rules[known.rule];
    draw(start, end);
    this.#space(true);
  }

  #choice(nested: boolean): Draw {
    const parts = [this.#sequence(nested)];
    while (this.#eat("|")) {
      this.#space(true);
      parts.push(this.#sequence(nested));
    }
    return (from, to) => {
      for (const draw of parts) draw(from, to);
    };
  }

  #sequence(nested: boolean): Draw {
    const parts: Draw[] = [];
    for (;;) {
      const item = this.#item(nested);
      if (!item) break;
      parts.push(this.#repeated(item, nested));
      this.#space(nested);
    }
    const graph = this.#graph;
    return (from, to) => {
      for (const [i, draw] of parts.entries()) {
        const next = i === parts.length - 1 ? to : graph.state();
        draw(from, next);
        from = next;
      }
      if (parts.length === 0) graph.skip(from, to);
    };
  }

  #item(nested: boolean): Draw | undefined {
    const from = this.#at;
    const graph = this.#graph;
    if (this.#eat('"')) {
      let text = "";
      while (!this.#eat('"')) text += this.#character(from, "a text in quotes");
      if (LONE.test(text)) throw this.#wrong("half of a surrogate pair", from);
      const bytes = new TextEncoder().encode(text);
      return (a, b) => graph.bytes(a, b, bytes);
    }
    if (this.#eat("[")) return this.#set(this.#class(from));
    if (this.#eat(".")) return this.#set(ALL);
    if (this.#eat("(")) {
      if (++this.#depth > LIMITS.nesting)
        throw excess(`the grammar nests groups too deep at ${this.#place(from)}`, LIMITS.nesting);
      this.#space(true);
      const inner = this.#choice(true);
      if (!this.#eat(")")) throw this.#wrong("a parenthesis that is not closed", from);
      this.#depth--;
      return inner;
    }
    const next = this.#text[this.#at];
    if (next === "<" || next === "!")
      throw new RwkvError(
        "unsupported",
        `The grammar names a token at ${this.#place(from)}, which cannot be had here; write its text.`,
      );
    if (next !== undefined && "*+?{".includes(next)) throw this.#wrong("nothing to repeat");
    if (next === undefined || !NAME.test(next)) {
      if (next !== undefined && !"|)\r\n".includes(next)) throw this.#wrong(`an unexpected ${JSON.stringify(next)}`);
      return undefined;
    }
    const name = this.#name();
    if (/^[ \t]*::=/.test(this.#text.slice(this.#at, this.#at + 200))) {
      if (nested) throw this.#wrong(`the rule ${name} begins within a group`, from);
      throw this.#wrong(`the rule ${name} should begin on a line of its own`, from);
    }
    const { rule } = this.#known(name, from);
    return (a, b) => graph.call(a, b, rule);
  }

  #set(set: Charset): Draw {
    const fragment = encoded(set, "utf8");
    return (from, to) => this.#graph.stamp(from, to, fragment);
  }

  /** What stands behind an item: * + ? {m} {m,} {m,n} {,n}, once or more. */
  #repeated(item: Draw, nested: boolean): Draw {
    for (let times = 0; ; times++) {
      this.#space(nested);
      const from = this.#at;
      if (times > LIMITS.nesting)
        throw excess(`too many repetitions of repetitions at ${this.#place(from)}`, LIMITS.nesting);
      let [min, max] = [0, Number.POSITIVE_INFINITY];
      if (this.#eat("+")) min = 1;
      else if (this.#eat("?")) max = 1;
      else if (this.#eat("{")) {
        const bounds = /^\s*(\d*)\s*(,?)\s*(\d*)\s*\}/.exec(this.#text.slice(this.#at, this.#at + 100));
        if (!bounds || (bounds[1] === "" && bounds[3] === "") || (bounds[2] === "" && bounds[3] !== ""))
          throw this.#wrong("{m}, {m,} or {m,n} should be here", from);
        this.#at += bounds[0].length;
        min = Number(bounds[1]);
        if (bounds[2] === "") max = min;
        else if (bounds[3]) max = Number(bounds[3]);
        if (min > max) throw this.#wrong("a repetition that ends below its start", from);
        for (const bound of [min, max])
          if (Number.isFinite(bound) && bound > LIMITS.repetition)
            throw excess(`the grammar repeats something ${bound} times at ${this.#place(from)}`, LIMITS.repetition);
      } else if (!this.#eat("*")) return item;
      const [inner, least, most] = [item, min, max];
      item = (a, b) => this.#graph.repeat(a, b, least, most, inner);
    }
  }

  /** One character of a text in quotes or of a class, escapes undone. */
  #character(from: number, where: string): string {
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined || point === 10 || point === 13) throw this.#wrong(`${where} that is not closed`, from);
    if (point !== 0x5c) {
      this.#at += point > 0xffff ? 2 : 1;
      return String.fromCodePoint(point);
    }
    const letter = this.#text[this.#at + 1];
    if (letter in LETTERS) {
      this.#at += 2;
      return LETTERS[letter];
    }
    const digits = this.#text.slice(this.#at + 2, this.#at + 2 + (DIGITS[letter] ?? 0));
    if (!(letter in DIGITS) || digits.length < DIGITS[letter] || !/^[\dA-Fa-f]+$/.test(digits))
      throw this.#wrong(`an unknown escape \\${letter ?? ""}`);
    const value = Number.parseInt(digits, 16);
    if (value > 0x10ffff) throw this.#wrong(`\\${letter}${digits} is no character`);
    this.#at += 2 + digits.length;
    return String.fromCodePoint(value);
  }

  #class(from: number): Charset {
    const negated = this.#eat("^");
    const sets: Charset[] = [];
    while (!this.#eat("]")) {
      const low = this.#character(from, "a bracket").codePointAt(0)!;
      let high = low;
      if (this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]") {
        this.#at++;
        high = this.#character(from, "a bracket").codePointAt(0)!;
        if (low > high) throw this.#wrong("a range that ends below its start");
      }
      sets.push(charset([low, high]));
    }
    const set = union(...sets);
    return negated ? complement(set) : set;
  }
}
