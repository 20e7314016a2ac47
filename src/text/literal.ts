/** The bytes that a Python string or bytes literal stands for, as far as `repr` writes them and a little further. */

const SIMPLE: Record<string, number> = {
  "\\": 0x5c,
  "'": 0x27,
  '"': 0x22,
  a: 0x07,
  b: 0x08,
  f: 0x0c,
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
  v: 0x0b,
};
/** Hexadecimal digits after `\x`, `\u` and `\U`. */
const DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };

/**
 * Reads `'…'`, `"…"`, `b'…'` or `b"…"` with Python's escapes. A string gives its UTF-8 bytes; in bytes `\u` and `\U` mean
 * nothing, as in Python. A backslash before any other character stands for itself.
 *
 * @param fail is called with what is wrong, and throws.
 */
export function unquote(literal: string, fail: (what: string) => never): Uint8Array {
  const isBytes = /^[bB]/.test(literal);
  const open = isBytes ? 1 : 0;
  const quote = literal[open];
  if (quote !== "'" && quote !== '"') return fail("the token is not in quotes");
  if (literal.length < open + 2 || !literal.endsWith(quote)) return fail("the token's closing quote is missing");
  const end = literal.length - 1;

  // Code points for a string, bytes for bytes: either way what the characters and escapes stand for, one by one.
  const values: number[] = [];
  for (let at = open + 1; at < end; ) {
    const point = literal.codePointAt(at)!;
    if (literal[at] === quote) return fail("text after the token's closing quote");
    if (literal[at] !== "\\") {
      if (isBytes && point > 0x7f) return fail("a character that is not ASCII in a bytes literal");
      values.push(point);
      at += point > 0xffff ? 2 : 1;
      continue;
    }
    const letter = literal[at + 1];
    if (at + 1 === end) return fail("the token's closing quote is missing");
    const octal = /^[0-7]{1,3}/.exec(literal.slice(at + 1, Math.min(at + 4, end)));
    if (octal) {
      values.push(Number.parseInt(octal[0], 8));
      if (isBytes && values[values.length - 1] > 0xff) return fail(`the escape \\${octal[0]} is no byte`);
      at += 1 + octal[0].length;
    } else if (letter in DIGITS && (letter === "x" || !isBytes)) {
      const digits = literal.slice(at + 2, Math.min(at + 2 + DIGITS[letter], end));
      if (digits.length < DIGITS[letter] || !/^[0-9a-fA-F]*$/.test(digits))
        return fail(`the escape \\${letter} needs ${DIGITS[letter]} hexadecimal digits`);
      values.push(Number.parseInt(digits, 16));
      at += 2 + digits.length;
    } else if (letter in SIMPLE) {
      values.push(SIMPLE[letter]);
      at += 2;
    } else if (letter === "N" && !isBytes) {
      return fail("characters by name (\\N{…}) are not supported; write \\uXXXX");
    } else {
      values.push(0x5c);
      at += 1;
    }
  }
  if (isBytes) return Uint8Array.from(values);
  let text = "";
  for (const point of values) {
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
      return fail(`U+${point.toString(16).toUpperCase().padStart(4, "0")} is no character`);
    text += String.fromCodePoint(point);
  }
  return new TextEncoder().encode(text);
}
