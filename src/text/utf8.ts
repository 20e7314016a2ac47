/** Strings to UTF-8, refusing what UTF-8 cannot hold instead of replacing it silently. */
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
