/** The text as it is seen: what people wrote and what the model wrote, growing as it is written. */

import { $, count, make } from "./dom.ts";
import type { Story } from "./story.ts";

/** Pixels from the end within which the page keeps up with the writing. */
const NEAR = 160;

/** A passage that is being written. */
export interface Writing {
  add(text: string): void;
  /** No more comes. Without `keep`, the passage goes away. `update` shows what belongs below it. */
  end(keep: boolean, update: () => void): void;
}

const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR;
const toEnd = () => scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });

/** Shows what there is of a text. */
export function show({ passages, before }: Story): void {
  const text = $("text", HTMLElement);
  text.replaceChildren();
  if (before > 0)
    text.append(make("span", { className: "aside" }, `Goes on from a saved state, after ${count(before, "token")}.`));
  for (const { prompt, versions, chosen } of passages)
    text.append(make("span", { className: "yours" }, prompt), make("span", {}, versions[chosen]!.text));
  reveal(text.childNodes.length > 0);
}

function reveal(yes: boolean): void {
  $("story", HTMLElement).hidden = !yes;
  $("welcome", HTMLElement).hidden = yes;
}

/** Begins a passage; in the place of the last one's text, if `anew`. */
export function begin(prompt: string, anew: boolean): Writing {
  const text = $("text", HTMLElement);
  const old = anew ? text.lastElementChild : null;
  const yours = make("span", { className: "yours" }, prompt);
  const its = make("span", { className: "writing" });
  if (old) old.replaceWith(its);
  else text.append(yours, its);
  reveal(true);
  toEnd();

  // What came since the last frame: a browser can lay the page out sixty times a second, not a thousand.
  let waiting = "";
  let all = "";
  let frame = 0;
  const flush = () => {
    frame = 0;
    const follow = atEnd();
    its.append(make("span", { className: "new" }, waiting));
    waiting = "";
    if (follow) toEnd();
  };
  return {
    add(part) {
      waiting += part;
      all += part;
      if (frame === 0 && part !== "") frame = requestAnimationFrame(flush);
    },
    end(keep, update) {
      const follow = atEnd();
      cancelAnimationFrame(frame);
      if (waiting !== "") flush();
      its.classList.remove("writing");
      if (keep) its.textContent = all;
      else if (old) its.replaceWith(old);
      else {
        yours.remove();
        its.remove();
        reveal(text.childNodes.length > 0);
      }
      update();
      if (follow) toEnd();
    },
  };
}
