/**
 * States behind texts that were read before, for texts that begin alike. A state is kept behind every prompt, behind every text that was
 * generated to its end, and where a prompt parts from one that is known: there the next one with the same beginning will want it. An entry is
 * a session of the engine's that nobody else knows, so to go on from it is a reference, no copy.
 *
 * States are bounded in bytes; the one that was not used for the longest time goes first. Bits do not depend on it: a state is what
 * reading the same tokens would have come to.
 */

import type { EngineHost } from "../engine/host.ts";
import { Places } from "./places.ts";

interface Entry {
  readonly place: number;
  readonly tokens: Uint32Array;
}

/** @internal How a text is to be read: what is left of it, and where states are to be kept. */
export interface Reading {
  readonly rest: Uint32Array;
  readonly marks: readonly { at: number; place: number }[];
  /** Tokens that need not be read. */
  readonly cached: number;
  /** The engine has reached a mark. */
  marked(place: number): void;
  /** It will reach no more. */
  end(): void;
}

/** A beginning that is shared by fewer tokens more than what is cached is not worth a state. */
const WORTH = 16;

export class PrefixCache {
  /** Most bytes of states. */
  readonly limit: number;
  readonly #engine: EngineHost;
  readonly #stateBytes: number;
  readonly #places: Places;
  /** The one that was used last comes last. */
  readonly #entries = new Set<Entry>();
  #lookups = 0;
  #hits = 0;
  #cachedTokens = 0;

  /** @internal `count` places, from `first` on. */
  constructor(engine: EngineHost, stateBytes: number, count: number, first: number) {
    this.#engine = engine;
    this.#stateBytes = stateBytes;
    this.limit = count * stateBytes;
    this.#places = new Places(count, first);
  }

  /** States that are kept, and their bytes. */
  get entries(): number {
    return this.#entries.size;
  }
  get bytes(): number {
    return this.#entries.size * this.#stateBytes;
  }

  /** Texts that were looked up, those of them that a beginning was known of, and how many tokens did not have to be read. */
  get lookups(): number {
    return this.#lookups;
  }
  get hits(): number {
    return this.#hits;
  }
  get cachedTokens(): number {
    return this.#cachedTokens;
  }

  /** Forgets all states. */
  clear(): void {
    for (const entry of this.#entries) this.#drop(entry);
  }

  /** @internal Has a session that stands behind the first `position` of these tokens go on from the longest beginning of them that is known. */
  begin(session: number, tokens: Uint32Array, position: number): Reading {
    let hit: Entry | undefined;
    let shared = 0;
    for (const entry of this.#entries) {
      const same = common(entry.tokens, tokens);
      shared = Math.max(shared, same);
      if (same === entry.tokens.length && same > position && same > (hit?.tokens.length ?? 0)) hit = entry;
    }
    this.#lookups++;
    let from = position;
    if (hit) {
      this.#entries.delete(hit);
      this.#entries.add(hit);
      from = hit.tokens.length;
      this.#hits++;
      this.#cachedTokens += from - position;
      // Whoever works with the session hears of what goes wrong with it.
      this.#engine.request({ kind: "open", session, from: hit.place }).catch(() => {});
    }
    const ends = [shared, tokens.length].filter((end, i) =>
      i === 0 ? end >= from + WORTH && end < tokens.length : end > from,
    );
    return this.#reading(tokens, from, from - position, ends);
  }

  /** @internal Keeps the state of a session that stands behind these tokens. */
  keep(session: number, tokens: Uint32Array): void {
    const place = this.#room();
    if (place === undefined) return;
    const entry = { place, tokens };
    this.#add(entry);
    // Requests are answered in order: who asks for it from now on comes after this.
    this.#engine.request({ kind: "open", session: place, from: session }).catch(() => {
      if (this.#entries.has(entry)) this.#drop(entry);
    });
  }

  #reading(tokens: Uint32Array, from: number, cached: number, ends: number[]): Reading {
    const waiting = new Map<number, Entry>();
    const marks = ends.flatMap((end) => {
      const place = this.#room();
      if (place === undefined) return [];
      waiting.set(place, { place, tokens: tokens.slice(0, end) });
      return [{ at: end - from, place }];
    });
    return {
      rest: tokens.subarray(from),
      marks,
      cached,
      marked: (place) => {
        this.#add(waiting.get(place)!);
        waiting.delete(place);
      },
      end: () => {
        for (const place of waiting.keys()) this.#places.give(place);
        waiting.clear();
      },
    };
  }

  /** A place for one more state, if need be that of the one not used for the longest time; none if all are still to come. */
  #room(): number | undefined {
    const free = this.#places.take();
    const [oldest] = this.#entries;
    if (free !== undefined || !oldest) return free;
    this.#drop(oldest);
    return this.#places.take();
  }

  #add(entry: Entry): void {
    // Texts that were read at the same time may be the same.
    for (const other of this.#entries) {
      if (other.tokens.length === entry.tokens.length && common(other.tokens, entry.tokens) === entry.tokens.length) {
        this.#drop(other);
      }
    }
    this.#entries.add(entry);
  }

  #drop(entry: Entry): boolean {
    this.#engine.closeSession(entry.place);
    this.#places.give(entry.place);
    return this.#entries.delete(entry);
  }
}

/** How many tokens are the same at the beginning. */
function common(a: Uint32Array, b: Uint32Array): number {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a[n] === b[n]) n++;
  return n;
}
