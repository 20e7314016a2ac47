/**
 * The settings: beside the text where there is room, else a sheet from below, over everything. One `<dialog>` is both: modal, with
 * its focus kept inside, only as a sheet.
 */

import { $ } from "./dom.ts";

const wide = matchMedia("(min-width: 60rem)");

export function makePanel(): void {
  const panel = $("panel", HTMLDialogElement);
  const button = $("settings", HTMLButtonElement);
  const shown = () => button.setAttribute("aria-expanded", String(panel.open));
  const open = () => {
    if (wide.matches) panel.show();
    else panel.showModal();
    shown();
  };

  /** From a button: the focus goes along, to the title, so that the sections can be read from there. */
  const openAt = (title: string) => {
    if (!panel.open) open();
    const heading = $(title, HTMLElement);
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    heading.scrollIntoView({ block: title === "panel-title" ? "nearest" : "center" });
  };

  button.addEventListener("click", () => (panel.open ? panel.close() : openAt("panel-title")));
  $("model-chip", HTMLButtonElement).addEventListener("click", () => openAt("model-title"));
  $("panel-close", HTMLButtonElement).addEventListener("click", () => {
    panel.close();
    button.focus();
  });
  panel.addEventListener("close", shown);
  // A click beside the sheet hits the dialog itself, one inside hits what is in it.
  panel.addEventListener("click", ({ target }) => {
    if (target === panel && !wide.matches) panel.close();
  });
  /** As an attribute: `show()` would take the focus. */
  const openQuietly = () => {
    panel.open = true;
    shown();
  };
  wide.addEventListener("change", () => {
    if (panel.open) panel.close();
    if (wide.matches) openQuietly();
  });
  if (wide.matches) openQuietly();
}

/** Closes the sheet, so that the text can be seen. */
export function closeSheet(): void {
  const panel = $("panel", HTMLDialogElement);
  if (panel.open && !wide.matches) panel.close();
}
