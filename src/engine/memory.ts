/** Addresses in the one linear memory: an arena that only grows, and the limits of 32-bit WebAssembly. */

import { RwkvError } from "../errors.ts";

export const PAGE = 65536;
/** 4 GiB less the last page, so that no address or end of a buffer wraps to zero. */
export const LIMIT = 65535 * PAGE;

export const align = (bytes: number, to = 64): number => Math.ceil(bytes / to) * to;
export const gib = (bytes: number): string =>
  bytes < 1 << 30 ? `${(bytes / (1 << 20)).toFixed(1)} MiB` : `${(bytes / (1 << 30)).toFixed(2)} GiB`;

/** Hands out addresses in ascending order. Pure arithmetic: no memory exists yet. */
export class Arena {
  /** First free address. */
  end: number;

  /** `base` leaves room below for what the WebAssembly module keeps there itself. */
  constructor(base = 4096) {
    this.end = base;
  }

  /** Address of `bytes` new bytes, in units of cache lines. */
  alloc(bytes: number): number {
    const at = this.end;
    this.end = at + align(bytes);
    return at;
  }
}

/** A memory that can hold `bytes` now and grow to `most`. Throws `RwkvError` "memory" when the system refuses. */
export function createMemory(bytes: number, most: number, shared: boolean): WebAssembly.Memory {
  const initial = Math.ceil(bytes / PAGE);
  const maximum = Math.min(65536, Math.max(initial, Math.ceil(most / PAGE)));
  try {
    return new WebAssembly.Memory({ initial, maximum, shared });
  } catch (cause) {
    throw new RwkvError(
      "memory",
      `This runtime gave no memory of ${gib(initial * PAGE)}. Close other models, or load smaller weights.`,
      { cause },
    );
  }
}
