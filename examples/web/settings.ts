/** The sampling controls: sliders made from a table, the seed, and their memory from visit to visit. */

import { $, make } from "./dom.ts";
import type { Settings } from "./story.ts";

interface Control {
  name: string;
  hint: string;
  low: number;
  high: number;
  step: number;
  initial: number;
  /** How a value is shown; as a number if this is absent. */
  show?: (value: number) => string;
  /** Among those that few people need. */
  more?: true;
}

const off = (at: number) => (value: number) => (value === at ? "off" : String(value));

export const CONTROLS: Readonly<Record<keyof Settings, Control>> = {
  temperature: {
    name: "Temperature",
    hint: "How daring it is. At 0 it always takes the likeliest word.",
    low: 0,
    high: 2,
    step: 0.05,
    initial: 0.8,
    show: (value) => value.toFixed(2),
  },
  topP: {
    name: "Top-p",
    hint: "It chooses among the likeliest words that together have this probability.",
    low: 0.05,
    high: 1,
    step: 0.05,
    initial: 0.9,
    show: (value) => (value === 1 ? "off" : value.toFixed(2)),
  },
  maxTokens: {
    name: "Length",
    hint: "It stops after so many tokens, if the text has not ended by itself.",
    low: 16,
    high: 2048,
    step: 16,
    initial: 256,
    show: (value) => `${value} tokens`,
  },
  topK: {
    name: "Top-k",
    hint: "It chooses among so many words at most.",
    low: 0,
    high: 200,
    step: 1,
    initial: 0,
    show: off(0),
    more: true,
  },
  repetitionPenalty: {
    name: "Repetition penalty",
    hint: "Makes words less likely that were there before, by this factor.",
    low: 1,
    high: 2,
    step: 0.05,
    initial: 1,
    show: off(1),
    more: true,
  },
  presencePenalty: {
    name: "Presence penalty",
    hint: "The same, by this amount.",
    low: 0,
    high: 2,
    step: 0.1,
    initial: 0,
    show: off(0),
    more: true,
  },
  frequencyPenalty: {
    name: "Frequency penalty",
    hint: "The same, by this amount for each time.",
    low: 0,
    high: 2,
    step: 0.1,
    initial: 0,
    show: off(0),
    more: true,
  },
};
const KEYS = Object.keys(CONTROLS) as (keyof Settings)[];
const STORED = "settings";

const inputs = new Map<keyof Settings, HTMLInputElement>();

/** Makes the sliders, with the values of the last visit. */
export function makeSettings(): void {
  for (const key of KEYS) {
    const { name, hint, low, high, step, initial, show = String, more } = CONTROLS[key];
    const id = `setting-${key}`;
    const input = make("input", {
      id,
      type: "range",
      min: `${low}`,
      max: `${high}`,
      step: `${step}`,
      value: `${initial}`,
    });
    const output = make("output", {});
    output.htmlFor.add(id);
    input.setAttribute("aria-describedby", `${id}-hint`);
    const update = () => {
      const value = input.valueAsNumber;
      output.value = show(value);
      // Without it a screen reader would say the number alone.
      input.setAttribute("aria-valuetext", show(value));
      input.style.setProperty("--fill", String((value - low) / (high - low)));
    };
    input.addEventListener("input", update);
    input.addEventListener("change", store);
    inputs.set(key, input);
    $(more ? "more-sliders" : "sliders", HTMLElement).append(
      make(
        "div",
        { className: "slider" },
        make("label", { htmlFor: id }, name),
        output,
        input,
        make("p", { className: "hint", id: `${id}-hint` }, hint),
      ),
    );
    update();
  }
  $("reset", HTMLButtonElement).addEventListener("click", () => {
    setSettings(Object.fromEntries(KEYS.map((key) => [key, CONTROLS[key].initial])) as Settings);
    setSeed("");
  });
  try {
    setSettings(JSON.parse(localStorage.getItem(STORED) ?? "{}"));
  } catch {
    // Nothing stored, or nothing that makes sense: the initial values stand.
  }
}

function store(): void {
  try {
    localStorage.setItem(STORED, JSON.stringify(settings()));
  } catch {
    // A browser that lets pages store nothing.
  }
}

export const settings = (): Settings =>
  Object.fromEntries(KEYS.map((key) => [key, inputs.get(key)!.valueAsNumber])) as Settings;

/** Moves the sliders to those of these values that are numbers; the sliders keep them in range. */
export function setSettings(values: Partial<Settings>): void {
  for (const key of KEYS) {
    const value = values[key];
    if (typeof value !== "number" || Number.isNaN(value)) continue;
    const input = inputs.get(key)!;
    input.value = String(value);
    input.dispatchEvent(new Event("input"));
  }
  store();
}

/** The seed that was asked for, if one was. Throws an `Error` that says what a seed is. */
export function seed(): bigint | undefined {
  const text = $("seed", HTMLInputElement).value.trim();
  return text === "" ? undefined : seedOf(text);
}

export function seedOf(text: string): bigint {
  if (/^\d{1,20}$/.test(text) && BigInt(text) < 1n << 64n) return BigInt(text);
  throw new Error(`A seed is a whole number from 0 to 18446744073709551615, not "${text.slice(0, 40)}".`);
}

export function setSeed(text: string): void {
  $("seed", HTMLInputElement).value = text;
}
