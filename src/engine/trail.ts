/**
 * Where a running generation can be taken back to. It runs ahead of its reader, who may leave at any token, and of the search
 * for stop strings, which may cut off the last ones: so it keeps a state from before either of them, and the tokens since.
 *
 * A state that is kept is a reference to a slot, at most three at a time: one at or before the reader's place, one at or before
 * what is sure to be shown, and one that will become that.
 */

import type { Slots } from "./slots.ts";

export class Trail {
  readonly #slots: Slots;
  /** Ascending. `count`: how many generated tokens the slot's state has taken in. */
  #points: { readonly slot: number; readonly count: number }[] = [];
  /** The generated tokens from number `#first` on, which no point needs to be before. */
  readonly #tokens: number[] = [];
  #first = 0;
  #read: number;
  #sure: number;

  /** `keeps`: whether it will be taken back at all. */
  constructor(slots: Slots, keeps: boolean) {
    this.#slots = slots;
    this.#read = this.#sure = keeps ? 0 : Number.POSITIVE_INFINITY;
  }

  /** Tokens generated so far. */
  get said(): number {
    return this.#first + this.#tokens.length;
  }

  say(token: number): void {
    this.#tokens.push(token);
  }

  /** The state in `slot` has taken in `count` generated tokens. */
  mark(slot: number, count: number): void {
    const last = this.#points.at(-1);
    if (last && last.count > this.#sure) return;
    this.#points.push({ slot: this.#slots.retain(slot), count });
    this.#prune();
  }

  /** It will not be taken back further than to `read` tokens, and hardly beyond `sure`. */
  pace(read: number, sure: number): void {
    this.#read = read;
    this.#sure = sure;
    this.#prune();
  }

  /** The last state from before token `keep`, and the tokens between; `keep` is no less than what was read. */
  back(keep: number): { slot: number; tokens: number[] } {
    const { slot, count } = this.#points.findLast((point) => point.count <= keep)!;
    return { slot, tokens: this.#tokens.slice(count - this.#first, keep - this.#first) };
  }

  /** Gives back all states but the one that is needed. */
  shed(): void {
    for (const { slot } of this.#points.splice(1)) this.#slots.release(slot);
  }

  /** Gives back everything. */
  drop(): void {
    for (const { slot } of this.#points.splice(0)) this.#slots.release(slot);
  }

  #prune(): void {
    const read = this.#points.findLast(({ count }) => count <= this.#read);
    const sure = this.#points.findLast(({ count }) => count <= this.#sure);
    const points = this.#points;
    this.#points = points.filter((point) => point === read || point === sure || point.count > this.#sure);
    for (const point of points) if (!this.#points.includes(point)) this.#slots.release(point.slot);
    // Cut rarely, so that it costs little.
    const old = (this.#points[0]?.count ?? 0) - this.#first;
    if (old < 1024) return;
    this.#tokens.splice(0, old);
    this.#first += old;
  }
}
