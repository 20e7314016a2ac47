/** Strings to UTF-8, refusing what UTF-8 cannot hold instead of replacing it silently; and back. */
import { RwkvError } from "../errors.ts";

const encoder = new TextEncoder();
/** In a `u` pattern a pair of surrogates is one character, so this finds unpaired ones only. */
const HALF = /\p{Surrogate}/u;

/**
 * The UTF-8 bytes of a string.
 *
 * @throws RwkvError `input` if a surrogate stands alone: `TextEncoder` would write U+FFFD in its place.
 */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  const at = text.search(HALF);
  if (at >= 0) {
    const unit = text.charCodeAt(at).toString(16).toUpperCase();
    throw new RwkvError(
      "input",
      `the text has half a character (the lone surrogate U+${unit}) at position ${at}: cut strings between characters, not inside them`,
    );
  }
  return encoder.encode(text);
}

/** The text of bytes in parts. Bytes that are not UTF-8 become U+FFFD; a byte order mark is kept. */
export function textOf(parts: readonly Uint8Array[]): string {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** How many bytes the character that starts at `at` has; 0 if the bytes there are not UTF-8. */
export function characterLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at];
  if (lead < 0x80) return 1;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (at + length > bytes.length) return 0;
  for (let i = 1; i < length; i++) if ((bytes[at + i] & 0xc0) !== 0x80) return 0;
  // Too long for what they hold, halves of surrogate pairs, and what lies beyond U+10FFFF.
  const second = bytes[at + 1];
  if ((lead === 0xe0 && second < 0xa0) || (lead === 0xf0 && second < 0x90)) return 0;
  if ((lead === 0xed && second > 0x9f) || (lead === 0xf4 && second > 0x8f)) return 0;
  return length;
}
