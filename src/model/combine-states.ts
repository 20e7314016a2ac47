/** Sums of saved states, for those who want to try what a model makes of them. */

import type { StatePart } from "../engine/spec.ts";
import { RwkvError } from "../errors.ts";
import { decodeState, encodeState, type Identity } from "./state.ts";

/** Most states that can be added up. */
const MOST_STATES = 64;

/**
 * The sum of states of the model `identity`, each times its weight; at the position of the first one. Sums are taken in float64.
 *
 * @throws RwkvError `state` for what is no state of this model, saying which; `input` for weights that are no numbers, and sums that no f32
 * holds; `unsupported` for RWKV-4, whose states are fractions with exponents of their own.
 */
export function combineStates(
  states: readonly (readonly [Uint8Array, number])[],
  identity: Identity,
  parts: readonly StatePart[],
): Uint8Array<ArrayBuffer> {
  if (!Array.isArray(states) || states.length < 1 || states.length > MOST_STATES) {
    throw new RwkvError("input", `States to combine are an array of 1 to ${MOST_STATES} pairs [bytes, weight].`);
  }
  if (identity.version === "4") {
    throw new RwkvError(
      "unsupported",
      "States of RWKV-4 cannot be combined: they are fractions with exponents of their own, and have no meaningful sums.",
    );
  }
  let sum: Float64Array | undefined;
  let position = 0;
  for (const [i, pair] of states.entries()) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[1] !== "number" || !Number.isFinite(pair[1])) {
      throw new RwkvError("input", `State ${i} to combine must be a pair [bytes, weight] with a finite weight.`);
    }
    const [bytes, weight] = pair as [Uint8Array, number];
    const decoded = decoding(i, () => decodeState(bytes, identity, parts));
    if (!sum) {
      position = decoded.position;
      sum = new Float64Array(decoded.state.length);
    }
    for (let j = 0; j < sum.length; j++) sum[j]! += decoded.state[j]! * weight;
  }
  const state = Float32Array.from(sum!);
  if (!state.every(Number.isFinite)) {
    throw new RwkvError("input", "The states' sum has numbers that no f32 holds: the weights are too large.");
  }
  return encodeState(identity, parts, position, state);
}

/** Says of what goes wrong with which state it did. */
function decoding<T>(i: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RwkvError)) throw error;
    throw new RwkvError(error.code, `State ${i} to combine: ${error.message}`, { cause: error });
  }
}
