/**
 * Numbers between bounds, as they are written in JSON: whole ones have up to 21 digits, others up to 25 more behind the point; only
 * numbers that are not bounded, but for their sign, may have an exponent.
 *
 * Bounds are compared digit by digit. Reading a number rounds it to the nearest double, and never across one; so what is at
 * least a bound, as written, is at least the bound when read. A bound that is left out is replaced by the next double.
 */
import type { Graph } from "../graph.ts";
import { LIMITS } from "../limits.ts";
import { refused } from "./read.ts";
import type { Bound } from "./shapes.ts";

/** Digits that a number may have before and behind the point. 21 are what JavaScript writes without an exponent. */
const WHOLE_DIGITS = 21;
const FRACTION_DIGITS = 25;
/** No number without an exponent is as large. */
const LARGEST = 1e21;
/** So many digits are exact in a double: divisibility can be checked by who reads them. */
const EXACT_DIGITS = 15;
/** Of one digit before the point. */
const MAX_EXPONENT = 307;

export interface NumberSpec {
  readonly whole: boolean;
  readonly lower: Bound | undefined;
  readonly upper: Bound | undefined;
  readonly multiples: readonly number[];
  /** For messages. */
  readonly at: string;
}

/** A number that is not negative: digits before the point, without leading zeros, and behind it, without zeros at the end. */
interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

const ZERO: Decimal = { whole: "", fraction: "" };

/** Draws all numbers of a kind; draws nothing if there are none. */
export function drawNumbers(graph: Graph, from: number, to: number, spec: NumberSpec): void {
  const { multiples, at } = spec;
  const lower = closed(spec.lower, spec.whole, true);
  const upper = closed(spec.upper, spec.whole, false);
  const step = multiples.reduce(leastCommonMultiple, 1);
  if (step > LIMITS.multiple)
    throw refused(at, `multipleOf ${step}; it may be a whole number from 1 to ${LIMITS.multiple}`);
  const whole = spec.whole || multiples.length > 0;
  const exponent = (bound: Bound | undefined): boolean => bound === undefined || bound.value === 0;
  if (!upper || upper.value > 0 || (upper.value === 0 && !upper.open)) {
    const low = lower && lower.value > 0 ? decimal(lower.value, at) : ZERO;
    const high = upper && upper.value < LARGEST ? decimal(upper.value, at) : undefined;
    const open = lower?.value === 0 && lower.open;
    new Digits(graph, to, { whole, step, low, open, high, exponent: low === ZERO && exponent(upper) }).draw(from);
  }
  if (!lower || lower.value < 0) {
    const low = upper && upper.value < 0 ? decimal(-upper.value, at) : ZERO;
    const high = lower && lower.value > -LARGEST ? decimal(-lower.value, at) : undefined;
    const open = low === ZERO; // There is no -0.
    const minus = graph.state();
    graph.byte(from, minus, 0x2d);
    new Digits(graph, to, { whole, step, low, open, high, exponent: low === ZERO && exponent(lower) }).draw(minus);
  }
}

/** The bound, with what it leaves out left out otherwise; only 0 stays open. */
function closed(bound: Bound | undefined, whole: boolean, lower: boolean): Bound | undefined {
  if (!bound) return undefined;
  let { value, open } = bound;
  if (whole) {
    const rounded = lower ? Math.ceil(value) : Math.floor(value);
    if (open && rounded === value) {
      // Above 2^53 the next whole number is not the next double.
      const next = lower ? value + 1 : value - 1;
      value = next !== value && Number.isSafeInteger(value) ? next : neighbour(value, lower);
    } else value = rounded;
    return { value: value + 0, open: false };
  }
  if (open && value !== 0) [value, open] = [neighbour(value, lower), false];
  return { value, open };
}

/** The next double above or below. */
function neighbour(value: number, above: boolean): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const away = value > 0 === above;
  view.setBigInt64(0, view.getBigInt64(0) + (away ? 1n : -1n));
  return view.getFloat64(0);
}

function decimal(value: number, at: string): Decimal {
  const [mantissa, exponent = "0"] = String(value).split("e");
  const [before, behind = ""] = mantissa.split(".");
  const shift = Number(exponent);
  let digits = before + behind;
  let point = before.length + shift;
  if (point < 0) [digits, point] = ["0".repeat(Math.min(-point, 400)) + digits, 0];
  if (point > digits.length) digits += "0".repeat(Math.min(point - digits.length, 400));
  const whole = digits.slice(0, point).replace(/^0+/, "");
  const fraction = digits.slice(point).replace(/0+$/, "");
  if (whole.length > WHOLE_DIGITS || fraction.length > FRACTION_DIGITS)
    throw refused(
      at,
      `the bound ${value}, which has more than ${WHOLE_DIGITS} digits before or ${FRACTION_DIGITS} behind the point`,
    );
  return { whole, fraction };
}

const leastCommonMultiple = (a: number, b: number): number => {
  let [x, y] = [a, b];
  while (y) [x, y] = [y, x % y];
  return (a / x) * b;
};

interface Range {
  readonly whole: boolean;
  readonly step: number;
  readonly low: Decimal;
  /** `low` itself is left out. */
  readonly open: boolean;
  readonly high: Decimal | undefined;
  readonly exponent: boolean;
}

type Phase = "start" | "zero" | "whole" | "point" | "fraction" | "e" | "sign" | "exponent";

/** Where a number is after some of its characters. */
interface Place {
  readonly phase: Phase;
  /** Digits in this phase so far; an exponent's value. */
  readonly digits: number;
  /** How it compares with the bounds so far, as if it ended like them: below 0 is smaller. */
  readonly low: number;
  readonly high: number;
  /** Modulo `step`. */
  readonly rest: number;
  /** Whether an exponent may follow. */
  readonly short: boolean;
  /** Of an exponent's digits. */
  readonly value: number;
}

class Digits {
  readonly #graph: Graph;
  readonly #to: number;
  readonly #range: Range;
  readonly #states = new Map<string, number>();
  readonly #waiting: Place[] = [];

  constructor(graph: Graph, to: number, range: Range) {
    this.#graph = graph;
    this.#to = to;
    this.#range = range;
  }

  draw(from: number): void {
    const start: Place = { phase: "start", digits: 0, low: 0, high: 0, rest: 0, short: false, value: 0 };
    this.#graph.skip(from, this.#state(start));
    for (let place = this.#waiting.pop(); place; place = this.#waiting.pop()) {
      const state = this.#state(place);
      for (let byte = 0x30; byte <= 0x39; byte++) this.#edge(state, this.#digit(place, byte - 0x30), byte);
      for (const [character, next] of this.#others(place)) this.#edge(state, next, character.charCodeAt(0));
      if (this.#ends(place)) this.#graph.skip(state, this.#to);
    }
  }

  #state(place: Place): number {
    const key = Object.values(place).join();
    let state = this.#states.get(key);
    if (state === undefined) {
      state = this.#graph.state();
      this.#states.set(key, state);
      this.#waiting.push(place);
    }
    return state;
  }

  #edge(state: number, next: Place | undefined, byte: number): void {
    if (next) this.#graph.byte(state, this.#state(next), byte);
  }

  #digit(place: Place, digit: number): Place | undefined {
    const { low, high, step } = this.#range;
    switch (place.phase) {
      case "start":
      case "whole": {
        if (place.phase === "start" && digit === 0) return this.#whole({ ...place, phase: "zero" });
        const digits = place.digits + 1;
        if (digits > (step > 1 ? EXACT_DIGITS : WHOLE_DIGITS)) return undefined;
        return {
          ...place,
          phase: "whole",
          digits,
          low: place.low || compare(digit, low.whole[place.digits]),
          high: high ? place.high || compare(digit, high.whole[place.digits]) : -1,
          rest: (place.rest * 10 + digit) % step,
        };
      }
      case "point":
      case "fraction":
        if (place.digits >= FRACTION_DIGITS) return undefined;
        return {
          ...place,
          phase: "fraction",
          digits: place.digits + 1,
          low: place.low || compare(digit, low.fraction[place.digits] ?? "0"),
          high: high ? place.high || compare(digit, high.fraction[place.digits] ?? "0") : -1,
        };
      case "e":
      case "sign":
      case "exponent": {
        const value = place.value * 10 + digit;
        if (value > MAX_EXPONENT || place.digits === 3) return undefined;
        return { ...place, phase: "exponent", digits: place.phase === "exponent" ? place.digits + 1 : 1, value };
      }
      default:
        return undefined;
    }
  }

  /** When all digits before the point are known: how many there are decides. */
  #whole(place: Place): Place {
    const { low, high } = this.#range;
    return {
      ...place,
      low: Math.sign(place.digits - low.whole.length || place.low),
      high: high ? Math.sign(place.digits - high.whole.length || place.high) : -1,
    };
  }

  *#others(place: Place): Generator<[string, Place]> {
    const { whole, exponent } = this.#range;
    const { phase, digits } = place;
    if (whole) return;
    // 4.5e3, but not 45e2: so the exponent alone says how large a number may become.
    const short = phase === "fraction" ? place.short : exponent && phase === "whole" && digits === 1;
    if (phase === "zero" || phase === "whole") yield [".", { ...this.#whole(place), phase: "point", digits: 0, short }];
    if (short && (phase === "whole" || phase === "fraction"))
      for (const e of "eE") yield [e, { ...place, phase: "e", digits: 0, low: 0, short: false }];
    if (phase === "e") for (const sign of "+-") yield [sign, { ...place, phase: "sign" }];
  }

  #ends(place: Place): boolean {
    const { low, high, open } = this.#range;
    const { phase } = place;
    if (phase === "exponent") return true;
    if (phase !== "zero" && phase !== "whole" && phase !== "fraction") return false;
    const behind = phase === "fraction" ? place.digits : 0;
    const before = phase === "fraction" ? place : this.#whole(place);
    // What ended where a bound goes on is smaller.
    const least = before.low || (behind < low.fraction.length ? -1 : 0);
    const most = high ? before.high || (behind < high.fraction.length ? -1 : 0) : -1;
    return (open ? least > 0 : least >= 0) && most <= 0 && place.rest === 0;
  }
}

/** A digit beside that of a bound, which may have none there. */
const compare = (digit: number, other: string | undefined): number =>
  other === undefined ? 0 : Math.sign(digit - Number(other));
