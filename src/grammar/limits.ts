/**
 * How large a constraint may be. All come from outside, so each way to grow has an end, and reaching it is an error that says
 * which. Together they keep compiling within about a second, and a program within a few megabytes.
 */
import { RwkvError } from "../errors.ts";

export const LIMITS = {
  /** Characters of a GBNF grammar. */
  grammarLength: 1 << 18,
  /** Characters of a regular expression, also of one within a schema. */
  regexLength: 1 << 14,
  /** Objects, lists and values of a schema, and how deep they may be nested. */
  schemaValues: 50_000,
  schemaDepth: 128,
  /** Groups within groups of a regular expression or a grammar. */
  nesting: 200,
  /** The bounds of {m,n}. */
  repetition: 10_000,
  /** Rules of a grammar; parts of a schema that need a rule of their own. */
  rules: 10_000,
  /** Rules that begin with each other in a circle. */
  leftRecursive: 40,
  /** States and edges of all rules while they are put together. */
  graphStates: 400_000,
  graphEdges: 1_500_000,
  /** A regular expression as a graph, and the states of its automaton, or of that of a schema's strings. */
  characterGraph: 200_000,
  characterStates: 20_000,
  /** Steps of making automata deterministic: members of all sets of states. */
  subsetWork: 4_000_000,
  /** What inlining rules may add, in states. */
  inlining: 30_000,
  /** States of a program (below 0xffff, which stands for none), and entries of its table. */
  states: 65_000,
  table: 1 << 23,
  /** Characters of a string, elements of a list: more than these are not written, and cannot be asked for. */
  stringLength: 10_000,
  listLength: 1000,
  /** What multipleOf may be. */
  multiple: 1000,
  /** States for counting the properties of an object. */
  propertyCounts: 20_000,
  /** Ways to combine the anyOf and oneOf of a schema and of what it refers to. */
  alternatives: 1000,
  /** patternProperties of one object. */
  keyPatterns: 6,
  /** Phrases that may not occur, and the bytes of all of them. */
  phrases: 1000,
  phraseBytes: 20_000,
  /** Pairs of a state of the constraint and of the phrases. */
  pairs: 200_000,
  /** How often rules may be within rules in a text. A text cannot go deeper: it is led out of there. */
  depth: 1000,
  /** Readings of a text that an ambiguous grammar leaves open, and stacks that have to be looked at for what may follow. */
  readings: 2000,
  stacks: 10_000,
  /** Steps of readings while one token is looked for. */
  work: 2_000_000,
} as const;

/** The error of whatever became larger than it may. */
export function excess(what: string, limit: number): RwkvError {
  return new RwkvError("unsupported", `${what}; the limit is ${limit}`);
}
