/** The few lines that stand in for a framework. */

/** The element with this id, of this class. */
export function $<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`The page has no ${type.name} #${id}.`);
}

/** A new element with properties and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Says something to screen readers, when they are done with what they are saying. */
export function announce(text: string): void {
  $("status", HTMLElement).textContent = text;
}

const number = new Intl.NumberFormat("en");
export const count = (n: number, one: string): string => `${number.format(n)} ${one}${n === 1 ? "" : "s"}`;

export function bytes(n: number): string {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  // Number and unit stay on one line.
  return `${n.toFixed(unit === 0 || n >= 100 ? 0 : 1)}\u00a0${units[unit]}`;
}

/** A file for whoever sits there. */
export function download(name: string, content: BlobPart): void {
  const url = URL.createObjectURL(new Blob([content]));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
