/** xxHash32 (Collet), for identities and checksums: fast, the same everywhere, not for secrets. */

const P1 = 0x9e3779b1;
const P2 = 0x85ebca77;
const P3 = 0xc2b2ae3d;
const P4 = 0x27d4eb2f;
const P5 = 0x165667b1;

const rotate = (x: number, n: number): number => (x << n) | (x >>> (32 - n));
const round = (acc: number, input: number): number => Math.imul(rotate((acc + Math.imul(input, P2)) | 0, 13), P1);

/** The hash of all bytes of a view, as an unsigned 32-bit number. */
export function xxhash32(view: ArrayBufferView, seed = 0): number {
  const data = new DataView(view.buffer, view.byteOffset, view.byteLength);
  const end = data.byteLength;
  let at = 0;
  let h: number;
  if (end >= 16) {
    let a = (seed + P1 + P2) | 0;
    let b = (seed + P2) | 0;
    let c = seed | 0;
    let d = (seed - P1) | 0;
    for (; at + 16 <= end; at += 16) {
      a = round(a, data.getInt32(at, true));
      b = round(b, data.getInt32(at + 4, true));
      c = round(c, data.getInt32(at + 8, true));
      d = round(d, data.getInt32(at + 12, true));
    }
    h = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  } else {
    h = (seed + P5) | 0;
  }
  h = (h + end) | 0;
  for (; at + 4 <= end; at += 4) h = Math.imul(rotate((h + Math.imul(data.getInt32(at, true), P3)) | 0, 17), P4);
  for (; at < end; at++) h = Math.imul(rotate((h + Math.imul(data.getUint8(at), P5)) | 0, 11), P1);
  h = Math.imul(h ^ (h >>> 15), P2);
  h = Math.imul(h ^ (h >>> 13), P3);
  return (h ^ (h >>> 16)) >>> 0;
}

/** An unsigned 32-bit number as eight hexadecimal digits. */
export const hex8 = (x: number): string => (x >>> 0).toString(16).padStart(8, "0");
