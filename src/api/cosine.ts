import { shown } from "../checks.ts";
import { RwkvError } from "../errors.ts";

/**
 * How alike two embeddings are: the cosine of the angle between them, from -1 to 1; 0 if one of them is all zeros.
 *
 * @throws RwkvError `input` if they are no arrays of numbers, or have not the same length.
 */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  for (const one of [a, b]) {
    if (Array.isArray(one) || ArrayBuffer.isView(one)) continue;
    throw new RwkvError("input", `An embedding is an array of numbers, not ${shown(one)}.`);
  }
  if (a.length !== b.length) {
    throw new RwkvError("input", `Embeddings of ${a.length} and ${b.length} numbers cannot be compared.`);
  }
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
  }
  const product = Math.sqrt(aa) * Math.sqrt(bb);
  return product > 0 ? Math.max(-1, Math.min(1, dot / product)) : 0;
}
