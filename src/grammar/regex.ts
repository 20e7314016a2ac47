/**
 * Regular expressions in ECMAScript's syntax, as with the flag `u`: characters are code points, and nothing is read two ways.
 *
 * What a finite automaton cannot do, or would not be asked for, is refused by name: lookaround, references back, word
 * borders, modifiers.
 */
import { RwkvError } from "../errors.ts";
import { type Automaton, automaton, type Expression } from "./characters.ts";
import { ALL, type Charset, charset, complement, DIGIT, LINE_END, property, SPACE, union, WORD } from "./charset.ts";
import { excess, LIMITS } from "./limits.ts";

/** `regex`: the name of what is parsed, for errors. */
export function parseRegex(source: string, regex: string): Expression {
  return new Parser(source, regex).parse();
}

/** The texts that are, from their first character to their last, what the expression says. */
export const wholeText = (source: string, regex: string): Automaton => automaton(parseRegex(source, regex), regex);

/** The texts in which the expression is found anywhere, as `RegExp.prototype.test` and the `pattern` of schemas have it. */
export function anywhere(source: string, regex: string): Automaton {
  const any: Expression = { kind: "repeat", part: { kind: "set", set: ALL }, min: 0, max: Number.POSITIVE_INFINITY };
  return automaton({ kind: "sequence", parts: [any, parseRegex(source, regex), any] }, regex);
}

const CONTROLS: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13 };
const CLASSES: Record<string, Charset> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const SYNTAX = "^$\\.*+?()[]{}|/";

class Parser {
  readonly #text: string;
  readonly #name: string;
  #at = 0;
  #depth = 0;

  constructor(text: string, name: string) {
    if (typeof text !== "string") throw new RwkvError("input", `${name} must be a string.`);
    if (text.length > LIMITS.regexLength) throw excess(`${name} has ${text.length} characters`, LIMITS.regexLength);
    this.#text = text;
    this.#name = name;
  }

  parse(): Expression {
    const expression = this.#choice();
    if (this.#at < this.#text.length) throw this.#wrong("a closing parenthesis without an opening one");
    try {
      // Whatever else the syntax forbids, a group's name given twice for instance.
      new RegExp(this.#text, "u");
    } catch (cause) {
      throw new RwkvError("input", `${this.#name} is no regular expression: ${(cause as Error).message}.`, { cause });
    }
    return expression;
  }

  #wrong(what: string, at = this.#at): RwkvError {
    return new RwkvError("input", `${this.#name} is no regular expression: ${what}, at character ${at + 1}.`);
  }

  #refused(what: string, at: number): RwkvError {
    return new RwkvError("unsupported", `${this.#name} uses ${what} at character ${at + 1}, which cannot be had here.`);
  }

  #eat(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #choice(): Expression {
    const parts = [this.#sequence()];
    while (this.#eat("|")) parts.push(this.#sequence());
    return parts.length === 1 ? parts[0] : { kind: "choice", parts };
  }

  #sequence(): Expression {
    const parts: Expression[] = [];
    while (this.#at < this.#text.length && !"|)".includes(this.#text[this.#at])) parts.push(this.#term());
    return parts.length === 1 ? parts[0] : { kind: "sequence", parts };
  }

  #term(): Expression {
    if (this.#eat("^")) return { kind: "start" };
    if (this.#eat("$")) return { kind: "end" };
    const from = this.#at;
    const part = this.#atom();
    const next = this.#text[this.#at];
    let [min, max] = [1, 1];
    if (next === "*") [min, max] = [0, Number.POSITIVE_INFINITY];
    else if (next === "+") max = Number.POSITIVE_INFINITY;
    else if (next === "?") min = 0;
    else if (next === "{") {
      const bounds = /^\{(\d+)(,(\d*))?\}/.exec(this.#text.slice(this.#at, this.#at + 64));
      if (!bounds) throw this.#wrong("an opening brace that begins no {m,n}");
      min = Number(bounds[1]);
      max = bounds[2] === undefined ? min : bounds[3] ? Number(bounds[3]) : Number.POSITIVE_INFINITY;
      if (min > max) throw this.#wrong(`${bounds[0]} ends below its start`);
      for (const bound of [min, max])
        if (Number.isFinite(bound) && bound > LIMITS.repetition)
          throw excess(`${this.#name} repeats ${this.#text.slice(from, this.#at)} ${bound} times`, LIMITS.repetition);
      this.#at += bounds[0].length - 1;
    } else return part;
    this.#at++;
    this.#eat("?"); // Which repetition is tried first makes no difference to what texts there are.
    return { kind: "repeat", part, min, max };
  }

  #atom(): Expression {
    const from = this.#at;
    if (this.#eat("(")) return this.#group(from);
    if (this.#eat("[")) return { kind: "set", set: this.#class() };
    if (this.#eat(".")) return { kind: "set", set: complement(LINE_END) };
    if (this.#eat("\\")) {
      const letter = this.#text[this.#at];
      if (letter === "b" || letter === "B") throw this.#refused(`a word border (\\${letter})`, from);
      if (letter === "k" || (letter >= "1" && letter <= "9")) throw this.#refused("a reference back to a group", from);
      const set = this.#escape();
      return { kind: "set", set: typeof set === "number" ? charset([set, set]) : set };
    }
    if ("*+?".includes(this.#text[from])) throw this.#wrong("nothing to repeat");
    if ("{}]".includes(this.#text[from]))
      throw this.#wrong(`a ${this.#text[from]} that has to be written with a \\ before it`);
    const point = this.#point();
    return { kind: "set", set: charset([point, point]) };
  }

  #group(from: number): Expression {
    if (++this.#depth > LIMITS.nesting) throw excess(`${this.#name} nests its groups too deep`, LIMITS.nesting);
    if (this.#eat("?=") || this.#eat("?!")) throw this.#refused("lookahead", from);
    if (this.#eat("?<=") || this.#eat("?<!")) throw this.#refused("lookbehind", from);
    if (this.#eat("?<")) {
      const end = this.#text.indexOf(">", this.#at);
      if (end < 0) throw this.#wrong("a group's name without its end", from);
      this.#at = end + 1;
    } else if (/^\?[a-z]*-?[a-z]*:/.test(this.#text.slice(this.#at, this.#at + 16)) && !this.#eat("?:"))
      throw this.#refused("modifiers of a group", from);
    else if (this.#text[this.#at] === "?") throw this.#wrong("an unknown kind of group", from);
    const inner = this.#choice();
    if (!this.#eat(")")) throw this.#wrong("a parenthesis that is not closed", from);
    this.#depth--;
    return inner;
  }

  #point(): number {
    const point = this.#text.codePointAt(this.#at)!;
    this.#at += point > 0xffff ? 2 : 1;
    return point;
  }

  /** What follows a backslash: a character, or a set of them. */
  #escape(): number | Charset {
    const from = this.#at - 1;
    const letter = this.#text[this.#at++];
    if (letter === undefined) throw this.#wrong("a \\ at the end", from);
    if (letter in CONTROLS) return CONTROLS[letter];
    if (letter in CLASSES) return CLASSES[letter];
    if (SYNTAX.includes(letter)) return letter.charCodeAt(0);
    const rest = this.#text.slice(this.#at, this.#at + 64);
    const take = (pattern: RegExp): string => {
      const found = pattern.exec(rest);
      if (!found) throw this.#wrong(`an escape \\${letter} that is not whole`, from);
      this.#at += found[0].length;
      return found[1];
    };
    switch (letter) {
      case "0":
        if (/^\d/.test(rest)) throw this.#wrong("digits after \\0", from);
        return 0;
      case "c":
        return take(/^([A-Za-z])/).charCodeAt(0) % 32;
      case "x":
        return Number.parseInt(take(/^([\dA-Fa-f]{2})/), 16);
      case "u": {
        if (rest.startsWith("{")) {
          const point = Number.parseInt(take(/^\{([\dA-Fa-f]{1,40})\}/), 16);
          if (point > 0x10ffff) throw this.#wrong("a \\u{} above 10FFFF", from);
          return point;
        }
        const high = Number.parseInt(take(/^([\dA-Fa-f]{4})/), 16);
        const low = /^\\u([Dd][C-Fc-f][\dA-Fa-f]{2})/.exec(this.#text.slice(this.#at, this.#at + 6));
        if (high < 0xd800 || high > 0xdbff || !low) return high;
        this.#at += 6;
        return 0x10000 + (high - 0xd800) * 0x400 + (Number.parseInt(low[1], 16) - 0xdc00);
      }
      case "p":
      case "P": {
        const name = take(/^\{([^}]{1,60})\}/);
        const set = property(name);
        if (!set) throw this.#wrong(`an unknown property \\${letter}{${name}}`, from);
        return letter === "p" ? set : complement(set);
      }
    }
    throw this.#wrong(`an unknown escape \\${letter}`, from);
  }

  /** What follows an opening bracket. */
  #class(): Charset {
    const from = this.#at - 1;
    const negated = this.#eat("^");
    const sets: Charset[] = [];
    while (!this.#eat("]")) {
      const low = this.#member(from);
      if (this.#text[this.#at] !== "-" || this.#text[this.#at + 1] === "]") {
        sets.push(typeof low === "number" ? charset([low, low]) : low);
        continue;
      }
      this.#at++;
      const high = this.#member(from);
      if (typeof low !== "number" || typeof high !== "number")
        throw this.#wrong("a range between what are no characters");
      if (low > high) throw this.#wrong("a range that ends below its start");
      sets.push(charset([low, high]));
    }
    const set = union(...sets);
    return negated ? complement(set) : set;
  }

  #member(from: number): number | Charset {
    if (this.#at >= this.#text.length) throw this.#wrong("a bracket that is not closed", from);
    if (!this.#eat("\\")) return this.#point();
    if (this.#eat("b")) return 8;
    if (this.#eat("-")) return 0x2d;
    return this.#escape();
  }
}
