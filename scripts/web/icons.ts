/** The page's icon, drawn from one description: a ring that comes back to where it began, a recurrent state, and a cursor in its gap. */

import { encodePng } from "./png.ts";

/** In a square of side 1. */
const RING = { x: 0.47, y: 0.5, radius: 0.235, width: 0.092, gap: (42 * Math.PI) / 180 };
const CURSOR = { x: 0.76, top: 0.36, bottom: 0.64, width: 0.07 };
const CORNER = 0.225;
const GREEN = [13, 106, 95] as const;
const WHITE = [250, 249, 246] as const;

const hex = (color: readonly number[]) => `#${color.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
/** Where the ring ends, above and below its gap. */
const end = { x: RING.x + RING.radius * Math.cos(RING.gap), y: RING.radius * Math.sin(RING.gap) };

export function svgIcon(): string {
  const at = (n: number) => Number((n * 512).toFixed(1));
  const ring = `M${at(end.x)} ${at(RING.y - end.y)}A${at(RING.radius)} ${at(RING.radius)} 0 1 0 ${at(end.x)} ${at(RING.y + end.y)}`;
  const cursor = `M${at(CURSOR.x)} ${at(CURSOR.top)}V${at(CURSOR.bottom)}`;
  const stroke = (path: string, width: number) => `<path d="${path}" stroke-width="${at(width)}"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512"><rect width="512" height="512" rx="${at(CORNER)}" fill="${hex(GREEN)}"/><g fill="none" stroke="${hex(WHITE)}" stroke-linecap="round">${stroke(ring, RING.width)}${stroke(cursor, CURSOR.width)}</g></svg>\n`;
}

/** `maskable`: up to the edges, as systems want it that cut icons into shapes of their own; what matters lies in the middle anyway. */
export function pngIcon(size: number, maskable = false): Uint8Array {
  const pixels = new Uint8Array(size * size * 4);
  const fine = 4; // samples of a pixel in each direction
  for (let i = 0; i < size * size; i++) {
    let inside = 0;
    let drawn = 0;
    for (let sample = 0; sample < fine * fine; sample++) {
      const x = ((i % size) + ((sample % fine) + 0.5) / fine) / size;
      const y = (Math.floor(i / size) + (Math.floor(sample / fine) + 0.5) / fine) / size;
      if (!maskable && !inSquare(x, y)) continue;
      inside++;
      if (onRing(x, y) || onCursor(x, y)) drawn++;
    }
    for (let part = 0; part < 3; part++)
      pixels[i * 4 + part] = inside === 0 ? 0 : (WHITE[part]! * drawn + GREEN[part]! * (inside - drawn)) / inside;
    pixels[i * 4 + 3] = (255 * inside) / (fine * fine);
  }
  return encodePng(size, pixels);
}

const near = (x: number, y: number, radius: number) => x * x + y * y <= radius * radius;

function inSquare(x: number, y: number): boolean {
  const corner = (t: number) => Math.max(0, Math.abs(t - 0.5) - (0.5 - CORNER));
  return near(corner(x), corner(y), CORNER);
}

function onRing(x: number, y: number): boolean {
  const [dx, dy] = [x - RING.x, y - RING.y];
  if (Math.abs(Math.atan2(dy, dx)) < RING.gap) return near(x - end.x, Math.abs(dy) - end.y, RING.width / 2);
  return Math.abs(Math.hypot(dx, dy) - RING.radius) <= RING.width / 2;
}

function onCursor(x: number, y: number): boolean {
  const along = Math.min(Math.max(y, CURSOR.top), CURSOR.bottom);
  return near(x - CURSOR.x, y - along, CURSOR.width / 2);
}
