/**
 * State slots. A slot that a session stands on is never written again: a step reads one slot and writes a fresh one, and only
 * when it is complete does the session move over. So an abort costs nothing, and a fork is one more reference.
 */

import type { Heap } from "./heap.ts";
import { type EngineSpec, SLOT_POSITION } from "./spec.ts";

export class Slots {
  /** The state of a session that has seen nothing. */
  readonly fresh: number;
  readonly #spec: EngineSpec;
  readonly #memory: WebAssembly.Memory;
  readonly #heap: Heap;
  readonly #references = new Map<number, number>();

  constructor(spec: EngineSpec, memory: WebAssembly.Memory, heap: Heap) {
    this.#spec = spec;
    this.#memory = memory;
    this.#heap = heap;
    this.fresh = this.acquire();
    for (const { offset, shape, fill } of spec.state) {
      const count = shape.reduce((a, b) => a * b, 1);
      new Float32Array(memory.buffer, this.fresh + offset, count).fill(fill);
    }
    this.setPosition(this.fresh, 0);
  }

  /** An unused slot, with one reference. Throws `RwkvError` "memory". */
  acquire(): number {
    const slot = this.#heap.take(this.#spec.slotBytes);
    this.#references.set(slot, 1);
    return slot;
  }

  retain(slot: number): number {
    this.#references.set(slot, this.#references.get(slot)! + 1);
    return slot;
  }

  release(slot: number): void {
    const left = this.#references.get(slot)! - 1;
    this.#references.set(slot, left);
    if (left === 0) this.#heap.give(slot, this.#spec.slotBytes);
  }

  position(slot: number): number {
    return new Float64Array(this.#memory.buffer, slot + SLOT_POSITION, 1)[0]!;
  }

  setPosition(slot: number, position: number): void {
    new Float64Array(this.#memory.buffer, slot + SLOT_POSITION, 1)[0] = position;
  }
}

/** Copies a slot's parts, without padding, one after another. */
export function readSlot(spec: EngineSpec, memory: WebAssembly.Memory, slot: number): Float32Array<ArrayBuffer> {
  const counts = spec.state.map((part) => part.shape.reduce((a, b) => a * b, 1));
  const state = new Float32Array(counts.reduce((a, b) => a + b, 0));
  let at = 0;
  spec.state.forEach(({ offset }, i) => {
    state.set(new Float32Array(memory.buffer, slot + offset, counts[i]), at);
    at += counts[i]!;
  });
  return state;
}

/** The reverse of `readSlot`; the length must fit. */
export function writeSlot(spec: EngineSpec, memory: WebAssembly.Memory, slot: number, state: Float32Array): void {
  new Uint8Array(memory.buffer, slot, spec.slotBytes).fill(0);
  let at = 0;
  for (const { offset, shape } of spec.state) {
    const count = shape.reduce((a, b) => a * b, 1);
    new Float32Array(memory.buffer, slot + offset, count).set(state.subarray(at, at + count));
    at += count;
  }
}
