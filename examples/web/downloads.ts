/** Models that were downloaded are kept by the library for the next time: which they are, and how to be rid of them. */

import { cache } from "rwkv-wasm";
import { $, announce, bytes, make } from "./dom.ts";

/** `attempt` shows what goes wrong. */
export function makeDownloads(attempt: (work: () => Promise<void>) => () => Promise<void>): void {
  const details = $("downloads", HTMLDetailsElement);
  details.addEventListener(
    "toggle",
    attempt(async () => {
      if (details.open) await showDownloads(attempt);
    }),
  );
}

async function showDownloads(attempt: (work: () => Promise<void>) => () => Promise<void>): Promise<void> {
  const kept = await cache.list();
  const rows = kept.map(({ url, size, stored }) => {
    const name = decodeURIComponent(new URL(url).pathname.split("/").at(-1) || url);
    const button = make("button", { className: "link", type: "button", ariaLabel: `Delete ${name}` }, "Delete");
    button.addEventListener(
      "click",
      attempt(async () => {
        await cache.delete(url);
        await showDownloads(attempt);
        announce(`${name} was deleted.`);
        $("downloads-title", HTMLElement).focus();
      }),
    );
    const share = stored < size ? `${bytes(stored)} of ${bytes(size)}` : bytes(size);
    return make("li", {}, make("span", { title: url }, name), make("span", { className: "hint" }, share), button);
  });
  $("kept", HTMLElement).replaceChildren(...rows);
  $("nothing-kept", HTMLElement).hidden = rows.length > 0;
}
