/** Heat maps in a terminal: colours of 24 bits where it has them, else shades of Unicode. */

import { printable } from "../cli/terminal.ts";

/** What a terminal can show. */
export interface Screen {
  readonly colors: boolean;
  readonly columns: number;
}

export function screenOf(stream: NodeJS.WriteStream): Screen {
  return { colors: stream.isTTY && stream.getColorDepth() >= 24, columns: stream.isTTY ? stream.columns : 120 };
}

const SHADES = [" ", "·", "░", "▒", "▓", "█"];
/** What is above zero, and what is below: of a colour each, from nothing to all of it. */
const WARM = [242, 107, 56];
const COLD = [75, 121, 230];
const PAPER = [24, 26, 32];

/** -1 to 1 as a colour. The root makes small values seen. */
function background(value: number): string {
  const strength = Math.sqrt(Math.min(1, Math.abs(value)));
  const to = value < 0 ? COLD : WARM;
  const mixed = PAPER.map((from, i) => Math.round(from + (to[i] - from) * strength));
  return `\x1b[48;2;${mixed.join(";")}m`;
}

const shade = (value: number): string =>
  SHADES[Math.round(Math.sqrt(Math.min(1, Math.abs(value))) * (SHADES.length - 1))];

/** Letters that a row's word may have. */
const LABEL = 10;

/** Rows of values between -1 and 1, with a word before each. A map that is wider than the screen keeps its last columns. */
export function heatLines(
  words: readonly string[],
  row: (t: number) => ArrayLike<number>,
  { colors, columns }: Screen,
): string[] {
  const count = words.length;
  const wide = count * 2 + LABEL + 2 <= columns ? 2 : 1;
  const first = Math.max(0, count - Math.floor((columns - LABEL - 2) / wide));
  return words.map((word, t) => {
    const values = Array.from({ length: Math.max(0, t + 1 - first) }, (_, i) => row(t)[first + i]);
    const cells = values.map((value) => (colors ? background(value) + " ".repeat(wide) : shade(value).repeat(wide)));
    return `${shortened(word)} ${cells.join("")}${colors ? "\x1b[0m" : ""}`.trimEnd();
  });
}

function shortened(word: string): string {
  const letters = [...printable(word)];
  return (letters.length > LABEL ? [...letters.slice(0, LABEL - 1), "…"].join("") : letters.join("")).padStart(LABEL);
}

/** A text in which each word is marked by a value from -1 to 1; the word that looks stands in brackets. */
export function markedText(
  words: readonly string[],
  values: ArrayLike<number>,
  asking: number,
  screen: Screen,
): string[] {
  const lines: string[] = [];
  let line = "";
  let width = 0;
  for (const [i, raw] of words.slice(0, asking + 1).entries()) {
    const value = values[i] ?? 0;
    const percent = Math.round(Math.abs(value) * 100);
    const word = printable(raw);
    const shown =
      i === asking
        ? `[${word.trimStart()}]`
        : screen.colors || percent < 10
          ? word
          : `${word}(${value < 0 ? "-" : ""}${percent})`;
    if (width + shown.length > Math.min(screen.columns, 100)) {
      lines.push(line);
      [line, width] = ["", 0];
    }
    line += screen.colors && i !== asking ? `${background(value)}${shown}\x1b[0m` : shown;
    width += shown.length;
  }
  return [...lines, line];
}
