/** What a caller says a text must be like, as the engine wants it; compiled once, as long as it is among the last few. */

import type { Constraint } from "../engine/constraints.ts";
import { RwkvError } from "../errors.ts";
import type { GenerateOptions } from "../generate.ts";
import { checkSchema } from "../grammar/schema/read.ts";
import type { Shared } from "./session.ts";
import { tokenizerOf } from "./tokenizer.ts";

/** Constraints that are remembered for a model. */
const MOST = 16;

interface Known {
  constraints: Map<string, Constraint>;
  count: number;
}
const known = new WeakMap<object, Known>();

/**
 * The constraint, which the engine's vocabulary has been told of. Throws `RwkvError` "input", saying where it is wrong, "unsupported" for
 * what is not supported or too large.
 */
export async function constraintOf(
  { engine, text, spec }: Pick<Shared, "engine" | "text" | "spec">,
  { grammar, regex, schema, bannedPhrases }: GenerateOptions,
): Promise<Constraint> {
  const tokenizer = tokenizerOf(text);
  let own = known.get(engine);
  if (!own) {
    own = { constraints: new Map(), count: 0 };
    known.set(engine, own);
    const tokens = Array.from({ length: spec.vocab }, (_, id) => (id < tokenizer.size ? tokenizer.bytes(id) : NONE));
    engine.vocabulary(flat(tokens));
  }
  // As text, a schema of a few objects that hold each other again and again might never end.
  if (schema !== undefined) checkSchema(schema);
  const given = { grammar, regex, schema, bannedPhrases };
  const key = keyOf(given);
  let constraint = own.constraints.get(key);
  if (!constraint) {
    const { compileConstraint } = await import("../grammar/compile.ts");
    constraint = { id: own.count++, program: compileConstraint(given) };
  }
  own.constraints.delete(key);
  own.constraints.set(key, constraint);
  const [oldest] = own.constraints.keys();
  if (own.constraints.size > MOST) own.constraints.delete(oldest!);
  return constraint;
}

const NONE = new Uint8Array();

function keyOf(given: object): string {
  try {
    return JSON.stringify(given);
  } catch (cause) {
    throw new RwkvError("input", `The schema is no JSON: ${(cause as Error).message}.`, { cause });
  }
}

/** All tokens' bytes, one after another. */
function flat(tokens: readonly Uint8Array[]): { bytes: Uint8Array; start: Uint32Array } {
  const start = new Uint32Array(tokens.length + 1);
  tokens.forEach((token, i) => {
    start[i + 1] = start[i]! + token.length;
  });
  const bytes = new Uint8Array(start[tokens.length]!);
  tokens.forEach((token, i) => {
    bytes.set(token, start[i]!);
  });
  return { bytes, start };
}
