/** Tables for a terminal. */

/** Rows of cells as lines: each column as wide as its widest cell, numbers to the right; `left`: the columns that are words. */
export function columns(rows: readonly (readonly string[])[], left: readonly number[] = [0]): string[] {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const cell = (text: string, i: number) => (left.includes(i) ? text.padEnd(widths[i]!) : text.padStart(widths[i]!));
  return rows.map((row) => row.map(cell).join("  ").trimEnd());
}
