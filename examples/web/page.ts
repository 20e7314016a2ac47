/** The page: what happens when something is pressed, typed, dropped, loaded. */

import { load, type Model, type ModelSource } from "rwkv-wasm";
import { $, announce, count, download } from "./dom.ts";
import { makeDownloads } from "./downloads.ts";
import { showFacts } from "./facts.ts";
import { linkTo, type Recipe, recipesIn } from "./link.ts";
import { goOffline, isolate, offerInstallation } from "./offline.ts";
import { closeSheet, makePanel } from "./panel.ts";
import { begin, show } from "./paper.ts";
import { forget, forgetAll, idle, recall, remember } from "./remembered.ts";
import { makeSettings, seed, setSeed, setSettings, settings } from "./settings.ts";
import { Story } from "./story.ts";

/** Set by the build: where the model is that comes with the page. */
declare const MODEL: string;

const REMEMBER = "remember";
/** Larger files are no states. */
const LARGEST_STATE = 2 ** 30;
const STATE_MAGIC = "RWKVSTA2";
/** Milliseconds between two looks at the numbers. */
const TICK = 150;

const prompt = $("prompt", HTMLTextAreaElement);
const writeButton = $("write", HTMLButtonElement);
const rememberSwitch = $("remember", HTMLInputElement);

const looks = $("looks", HTMLButtonElement);

let model: Model | undefined;
let story: Story | undefined;
/** Stops the writing that is under way. */
let writing: AbortController | undefined;
/** Stops the loading that is under way. */
let loading: AbortController | undefined;

// Errors

function fail(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), true);
}

/** Shows a sentence until it is dismissed, or until something else is done. */
function say(message: string, isError: boolean): void {
  $("error-text", HTMLElement).textContent = /[.!?]$/.test(message) ? message : `${message}.`;
  const box = $("error", HTMLElement);
  box.classList.toggle("error", isError);
  box.hidden = false;
}

function clearError(): void {
  $("error", HTMLElement).hidden = true;
}

/** Makes a listener of something that may fail. */
function attempt<A extends unknown[]>(work: (...args: A) => unknown): (...args: A) => Promise<void> {
  return async (...args) => {
    clearError();
    try {
      await work(...args);
    } catch (error) {
      fail(error);
    }
  };
}

// The model

/** Puts a model in the place of the one that is there, once it is loaded, with the text that is remembered for it. */
async function useModel(name: string, source: ModelSource): Promise<void> {
  loading?.abort();
  const mine = new AbortController();
  loading = mine;
  writing?.abort();
  closeSheet();
  const { signal } = mine;
  const chip = $("model-chip", HTMLButtonElement);
  delete chip.dataset.ready;
  showProgress(`Opening ${name}`);
  try {
    const warnings: string[] = [];
    const next = await load(source, {
      signal,
      onProgress: ({ loaded, total }) => showProgress(`Loading ${name}`, loaded / total),
      onWarning: (warning) => warnings.push(warning),
    });
    if (signal.aborted) return await next.close();
    await stopped();
    const remembered = await recalled(next);
    const old = model;
    model = next;
    story = remembered ?? new Story(next);
    show(story);
    showFacts(next.info);
    await old?.close();
    announce(`${next.info.name} is ready.`);
    // That there is no network is not worth a word when the page needs none.
    if (warnings.length > 0 && source !== SHIPPED) say(warnings.join(" "), false);
  } catch (error) {
    if (signal.aborted) return;
    $("model-name", HTMLElement).textContent = model?.info.name ?? "No model";
    $("loading-text", HTMLElement).textContent = "There is no model yet.";
    throw error;
  } finally {
    if (loading === mine) {
      loading = undefined;
      $("loading", HTMLElement).hidden = model !== undefined;
      $("retry", HTMLElement).hidden = model !== undefined;
      $("beginnings", HTMLElement).hidden = model === undefined;
      $("progress", HTMLElement).hidden = true;
      $("open-shipped", HTMLElement).hidden = source === SHIPPED;
      looks.disabled = source !== SHIPPED || !model;
      if (model) chip.dataset.ready = "";
      update();
    }
  }
}

function showProgress(what: string, share?: number): void {
  const progress = $("progress", HTMLProgressElement);
  const text = share === undefined ? `${what} …` : `${what}: ${Math.floor(share * 100)} %`;
  $("loading", HTMLElement).hidden = false;
  $("beginnings", HTMLElement).hidden = true;
  $("retry", HTMLElement).hidden = true;
  progress.hidden = false;
  if (share === undefined) progress.removeAttribute("value");
  else progress.value = share;
  $("loading-text", HTMLElement).textContent = text;
  $("model-name", HTMLElement).textContent = text;
}

const SHIPPED = new URL(MODEL, document.baseURI);
const KERNELS = new URL("../dist/kernels/plain.wasm", SHIPPED);
const useShipped = () => useModel("the model", SHIPPED);

async function useFile(file: File): Promise<void> {
  const magic = await file.slice(0, STATE_MAGIC.length).text();
  await (magic === STATE_MAGIC ? openState(file) : useModel(file.name, file));
}

/** The text that is remembered for a model, if there is one that can be gone on with. */
async function recalled(model: Model): Promise<Story | undefined> {
  if (!rememberSwitch.checked) return undefined;
  try {
    const saved = await recall(model.info.fingerprint);
    return saved && Story.restore(model, saved);
  } catch (error) {
    fail(error);
    return undefined;
  }
}

// Writing

/** Waits until nothing is being written any more, to the page or to what it remembers. */
let done: Promise<unknown> = Promise.resolve();
const stopped = async (): Promise<void> => {
  writing?.abort();
  await done;
  await idle();
};

/** Writes a passage, or without words the last one in another version, and shows it coming. Resolves to false if nothing came. */
function write(words: string | undefined, recipe?: Recipe): Promise<boolean> {
  const work = writePassage(words, recipe);
  done = work.catch(() => {});
  return work;
}

async function writePassage(words: string | undefined, recipe?: Recipe): Promise<boolean> {
  if (!model || !story || writing) return false;
  const chosen = recipe?.settings ?? settings();
  const chosenSeed = recipe ? recipe.seed : words === undefined ? otherSeed() : seed();
  const mine = new AbortController();
  writing = mine;
  update();
  const paper = begin(words ?? "", words === undefined);
  const numbers = $("count", HTMLElement);
  numbers.textContent = "Reading …";
  $("seed-line", HTMLElement).hidden = true;
  announce("Writing.");
  let last = performance.now();
  const heard = (text: string, tokens: number, seconds: number) => {
    paper.add(text);
    const now = performance.now();
    if (now - last < TICK) return;
    last = now;
    numbers.textContent = counted(tokens, seconds);
  };
  const { signal } = mine;
  let kept = false;
  try {
    kept = await (words === undefined
      ? story.another(chosen, chosenSeed, heard, signal)
      : story.write(words, chosen, chosenSeed, heard, signal));
    const passage = story.passages.at(-1);
    if (kept && passage) announce(`${passage.versions[passage.chosen]!.text} – The model has stopped.`);
    else if (!signal.aborted) announceEnd();
    // Whoever leaves as soon as it has stopped finds all of it again.
    if (kept) await keep().catch(fail);
  } finally {
    writing = undefined;
    paper.end(kept, update);
  }
  return kept;
}

/** The seed asked for, unless it would give a version that is there already. */
function otherSeed(): bigint | undefined {
  const wanted = seed();
  const now = JSON.stringify(settings());
  const versions = story?.passages.at(-1)?.versions ?? [];
  return versions.some((version) => version.seed === wanted && JSON.stringify(version.settings) === now)
    ? undefined
    : wanted;
}

function announceEnd(): void {
  fail("The model has nothing to add: to it the text is complete. Words of yours will make it go on.");
}

const counted = (tokens: number, seconds: number): string =>
  tokens > 1 && seconds > 0
    ? `${count(tokens, "token")} · ${Math.round((tokens - 1) / seconds)} per second`
    : count(tokens, "token");

/** The words in the box, joined to the text before them. */
function words(): string {
  const text = prompt.value.replace(/\s+$/, "");
  const before = story?.text ?? "";
  if (text === "") return before === "" && story?.position === 0 ? prompt.placeholder : "";
  const apart = before !== "" && !/\s$/.test(before) && !/^[\s.,;:!?'")\]]/.test(text);
  return apart ? ` ${text}` : text;
}

const submit = attempt(async () => {
  if (writing) return writing.abort();
  const typed = prompt.value;
  const given = words();
  prompt.value = "";
  fit();
  let kept = false;
  try {
    kept = await write(given);
  } finally {
    // What was not used is not lost.
    if (!kept && prompt.value === "") prompt.value = typed;
    fit();
  }
});

/** Writes what a link asks for. */
async function follow(hash: string): Promise<void> {
  const link = recipesIn(hash);
  if (!link || !model) return;
  history.replaceState(null, "", location.pathname + location.search);
  if (link.model !== model.info.fingerprint)
    throw new Error("This link leads to another model's text: load that model first, then open the link again.");
  await startAnew();
  for (const recipe of link.recipes) if (!(await write(recipe.prompt, recipe))) break;
}

async function startAnew(): Promise<void> {
  await stopped();
  if (!model) return;
  const old = story;
  story = new Story(model);
  show(story);
  update();
  await old?.close();
}

/** Shows the controls as they are now. */
function update(): void {
  const busy = writing !== undefined;
  const passage = story?.passages.at(-1);
  const version = passage?.versions[passage.chosen];
  writeButton.disabled = !model;
  writeButton.toggleAttribute("data-busy", busy);
  $("write-label", HTMLElement).textContent = busy ? "Stop" : "Write";
  prompt.placeholder = passage || (story?.position ?? 0) > 0 ? "Go on, or add words" : "Once upon a time";
  $("new", HTMLButtonElement).disabled = !model || (!passage && story?.position === 0);
  $("tools", HTMLElement).hidden = busy || !passage;
  $("another", HTMLElement).hidden = !story?.again;
  // What came before a state that was opened is not known, so that nobody could write it again.
  $("link", HTMLElement).hidden = (story?.before ?? 0) > 0;
  for (const id of ["save-state", "open-state"]) $(id, HTMLButtonElement).disabled = !model || busy;
  if ((story?.position ?? 0) === 0) $("save-state", HTMLButtonElement).disabled = true;
  if (busy) return;
  $("after", HTMLElement).hidden = !version;
  if (!passage || !version) return;
  const ended = version.finish === "stop" ? " · ended by itself" : "";
  $("count", HTMLElement).textContent = counted(version.tokens, version.seconds) + ended;
  $("seed-line", HTMLElement).hidden = false;
  const seedButton = $("seed-used", HTMLButtonElement);
  seedButton.textContent = `seed ${version.seed}`;
  seedButton.setAttribute("aria-label", `Use seed ${version.seed} again`);
  const { chosen, versions } = passage;
  $("versions", HTMLElement).hidden = versions.length < 2;
  $("version", HTMLElement).textContent = `${chosen + 1} of ${versions.length}`;
  $("previous", HTMLButtonElement).disabled = chosen === 0;
  $("next", HTMLButtonElement).disabled = chosen === versions.length - 1;
}

/** As tall as its text. */
function fit(): void {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
}

const turn = attempt(async (by: number) => {
  const passage = story?.passages.at(-1);
  if (!passage || writing) return;
  story!.choose(passage.chosen + by);
  show(story!);
  update();
  announce(`Version ${passage.chosen + by + 1}. ${passage.versions[passage.chosen + by]!.text}`);
  await keep();
});

// States

/** Remembers the text as it is now, if that is wanted. */
async function keep(): Promise<void> {
  const mine = story;
  if (!model || !mine) return;
  await remember(model.info.fingerprint, async () =>
    mine === story && rememberSwitch.checked ? mine.save() : undefined,
  );
}

async function openState(file: File): Promise<void> {
  if (!model) throw new Error("A state needs its model: wait until that is loaded.");
  if (file.size > LARGEST_STATE) throw new Error(`${file.name} is too large for a state.`);
  const end = new Uint8Array(await file.arrayBuffer());
  const next = Story.restore(model, { before: 0, passages: [], end });
  await stopped();
  const old = story;
  story = next;
  show(next);
  update();
  closeSheet();
  await old?.close();
  await keep();
  announce(`The state is open: ${count(next.position, "token")} were taken in before.`);
}

// What is pressed and typed

$("composer", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void submit();
});
prompt.addEventListener("input", fit);
prompt.addEventListener("keydown", (event) => {
  // While somebody chooses a character in an input method, Enter belongs to that.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!writing && model) void submit();
});
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") writing?.abort();
});
for (const button of document.querySelectorAll<HTMLButtonElement>("#beginnings button"))
  button.addEventListener(
    "click",
    attempt(async () => {
      prompt.focus();
      await write(button.textContent ?? "");
    }),
  );
$("another", HTMLElement).addEventListener(
  "click",
  attempt(async () => {
    writeButton.focus();
    await write(undefined);
  }),
);
$("previous", HTMLElement).addEventListener("click", () => turn(-1));
$("next", HTMLElement).addEventListener("click", () => turn(1));
$("new", HTMLElement).addEventListener(
  "click",
  attempt(async () => {
    await startAnew();
    if (model) await forget(model.info.fingerprint).catch(() => {});
    prompt.focus();
  }),
);
$("copy", HTMLElement).addEventListener(
  "click",
  attempt(async () => {
    await navigator.clipboard.writeText(story?.text ?? "");
    announce("The text was copied.");
    flash("copy", "Copied");
  }),
);
$("link", HTMLElement).addEventListener(
  "click",
  attempt(async () => {
    const link = story && model && linkTo(story.passages, model.info.fingerprint);
    if (!link) throw new Error("The text is too long for a link: save its state instead.");
    await navigator.clipboard.writeText(link);
    announce("A link that writes this text again was copied.");
    flash("link", "Copied");
  }),
);
$("seed-used", HTMLElement).addEventListener("click", () => {
  const passage = story?.passages.at(-1);
  const version = passage?.versions[passage.chosen];
  if (!version) return;
  setSeed(String(version.seed));
  setSettings(version.settings);
  announce(`Seed ${version.seed} and its settings are set.`);
  flash("seed-used", "seed and settings are set");
});
looks.addEventListener(
  "click",
  attempt(async () => {
    const text = $("text", HTMLElement).textContent || "Once upon a time, there was a little dog named Max.";
    looks.disabled = true;
    try {
      const { showAttention } = await import("./attention.ts");
      await showAttention(text, model!.tokenizer, SHIPPED, KERNELS);
    } finally {
      looks.disabled = false;
    }
  }),
);
$("error-close", HTMLElement).addEventListener("click", () => {
  clearError();
  prompt.focus();
});
$("theme", HTMLElement).addEventListener("click", () => document.documentElement.dispatchEvent(new Event("theme")));
document.documentElement.addEventListener("themechange", showTheme);

function showTheme(): void {
  $("theme", HTMLElement).setAttribute("aria-pressed", String(document.documentElement.dataset.theme === "dark"));
}

/** Says on a button for a moment what it did. */
function flash(id: string, text: string): void {
  const label = [...$(id, HTMLElement).childNodes].findLast((node) => node.nodeType === Node.TEXT_NODE);
  if (!label || label.textContent === text) return;
  const before = label.textContent;
  label.textContent = text;
  setTimeout(() => {
    if (label.textContent === text) label.textContent = before;
  }, 1500);
}

$("retry", HTMLElement).addEventListener("click", attempt(useShipped));
$("open-shipped", HTMLElement).addEventListener("click", attempt(useShipped));
for (const kind of ["model", "state"]) {
  const input = $(`${kind}-file`, HTMLInputElement);
  $(`open-${kind}`, HTMLElement).addEventListener("click", () => input.click());
  input.addEventListener(
    "change",
    attempt(async () => {
      const file = input.files?.[0];
      // So that the same file can be chosen again.
      input.value = "";
      if (file) await (kind === "state" ? openState(file) : useFile(file));
    }),
  );
}
$("address-form", HTMLElement).addEventListener(
  "submit",
  attempt(async (event: Event) => {
    event.preventDefault();
    const address = $("address", HTMLInputElement).value.trim();
    if (address === "") throw new Error("Give the address of a model's file.");
    await useModel(address.split("/").at(-1) || address, address);
  }),
);
$("save-state", HTMLElement).addEventListener(
  "click",
  attempt(async () => {
    const state = await story?.state();
    if (state) download(`text-${story!.position}.state`, state);
  }),
);
rememberSwitch.addEventListener(
  "change",
  attempt(async () => {
    localStorage.setItem(REMEMBER, rememberSwitch.checked ? "yes" : "no");
    if (rememberSwitch.checked) {
      await keep();
      announce("Texts are remembered in this browser.");
      // Some browsers ask whoever sits there first.
      await navigator.storage?.persist?.();
    } else {
      await forgetAll();
      announce("All texts were forgotten.");
    }
  }),
);

// What is dropped

const drop = $("drop", HTMLElement);
const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.hidden = true;
});
addEventListener(
  "drop",
  attempt(async (event: DragEvent) => {
    drop.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) await useFile(file);
  }),
);

// The beginning

/** Files that the installed app was opened with. */
interface LaunchQueue {
  setConsumer(consumer: (launch: { files: FileSystemFileHandle[] }) => void): void;
}

async function start(): Promise<void> {
  showTheme();
  makeSettings();
  makePanel();
  makeDownloads(attempt);
  offerInstallation();
  try {
    const wanted = localStorage.getItem(REMEMBER);
    rememberSwitch.checked = wanted === "yes";
    // If the page was left before that was done.
    if (wanted === "no") forgetAll().catch(() => {});
  } catch {
    rememberSwitch.disabled = true;
  }
  update();
  if (await isolate().catch(() => false)) return;
  await attempt(useShipped)();
  (globalThis as { launchQueue?: LaunchQueue }).launchQueue?.setConsumer(
    attempt(async ({ files }) => files[0] && (await useFile(await files[0].getFile()))),
  );
  goOffline(model?.info.cache, async () => model?.close()).catch((error) => console.warn(error));
  if (model) await attempt(follow)(location.hash);
  addEventListener("hashchange", () => attempt(follow)(location.hash));
}

void start();
