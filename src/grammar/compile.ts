/** From what a caller wrote, a grammar, a regular expression, a schema, phrases to avoid, to a program. */
import { RwkvError } from "../errors.ts";
import { draw } from "./characters.ts";
import { parseGbnf } from "./gbnf.ts";
import { Graph } from "./graph.ts";
import { anythingBut, avoiding, without } from "./phrases.ts";
import { joined, type Program, trimmed } from "./program.ts";
import { wholeText } from "./regex.ts";
import { automata } from "./rules.ts";
import { drawSchema } from "./schema/draw.ts";

export interface Constraint {
  /** A grammar in GBNF, llama.cpp's notation. The text follows its rule `root`. */
  readonly grammar?: string;
  /** A regular expression, ECMAScript's with the flag `u`. The text matches it from its start to its end. */
  readonly regex?: string;
  /** A JSON schema. The text is a JSON value that it accepts. */
  readonly schema?: object | boolean;
  /** Phrases that occur nowhere in the text, together with one of the others or alone. */
  readonly bannedPhrases?: readonly string[];
}

/**
 * Compiles a constraint. The program is plain data, which `structuredClone` copies.
 *
 * @throws RwkvError `input` for what is wrong, saying where: by line and column, character, or JSON pointer, and for what no text can
 * satisfy. `unsupported` for what exists but not here, and for what is too large.
 */
export function compileConstraint(constraint: Constraint): Program {
  const { grammar, regex, schema, bannedPhrases } = constraint;
  const given = Object.entries({ grammar, regex, schema }).filter(([, value]) => value !== undefined);
  if (given.length > 1)
    throw new RwkvError("input", `${given.map(([name]) => name).join(" and ")} exclude each other: give one of them.`);
  const seen = bannedPhrases && avoiding(bannedPhrases);
  if (given.length === 0) {
    if (!seen) throw new RwkvError("input", "A constraint needs a grammar, a regex, a schema or bannedPhrases.");
    return trimmed(anythingBut(seen))!;
  }
  const graph = new Graph();
  const { root, whole, reasons } = drawn(graph, constraint);
  const program = trimmed(joined(automata(graph, root, whole, reasons)))!;
  if (!seen) return program;
  const rest = trimmed(without(program, seen));
  if (!rest) throw new RwkvError("input", `No text can follow ${whole}: each would contain one of the bannedPhrases.`);
  return rest;
}

interface Drawn {
  readonly root: number;
  /** What to call it in messages. */
  readonly whole: string;
  /** Why some part of it allows nothing, if that is known. */
  readonly reasons: readonly (readonly [at: string, why: string])[];
}

/** Draws the constraint's rules. */
function drawn(graph: Graph, { grammar, regex, schema }: Constraint): Drawn {
  if (grammar !== undefined) return { root: parseGbnf(grammar, graph), whole: "the grammar", reasons: [] };
  if (schema !== undefined) return { ...drawSchema(schema, graph), whole: "the schema" };
  const root = graph.rule("regex");
  const { start, end } = graph.rules[root];
  draw(graph, start, end, wholeText(regex!, "regex"), "utf8");
  return { root, whole: "regex", reasons: [] };
}
