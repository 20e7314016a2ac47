/** What is in a saved state, by name: its own header says. */

export interface StatePart {
  readonly shape: readonly number[];
  readonly numbers: Float32Array;
}

/** "RWKVSTA2", and the length of the header in 4 bytes. */
const BEFORE = 12;

/** The parts of what `session.save()` gave. */
export function statePartsOf(saved: Uint8Array<ArrayBuffer>): Map<string, StatePart> {
  const start = BEFORE + new DataView(saved.buffer, saved.byteOffset).getUint32(BEFORE - 4, true);
  const { parts } = JSON.parse(new TextDecoder().decode(saved.subarray(BEFORE, start)));
  const numbers = new Float32Array(saved.slice(start).buffer);
  const found = new Map<string, StatePart>();
  let at = 0;
  for (const [name, shape] of parts as [string, number[]][]) {
    const count = shape.reduce((product, n) => product * n, 1);
    found.set(name, { shape, numbers: numbers.subarray(at, at + count) });
    at += count;
  }
  return found;
}

/** The memory of a layer: its matrices, or version 4's averages; not the last token's activations. */
export const isMemory = (name: string): boolean => /\.att\.(S|aa|bb)$/.test(name);

/** The length of a vector of all numbers. */
export function norm(numbers: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i] * numbers[i];
  return Math.sqrt(sum);
}
