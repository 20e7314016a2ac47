/**
 * What the model looked at in the text: fetched when somebody asks for it. The weights are those of `rwkv lab attention`, computed here in
 * float64 from the model's own file, so this works for the model that comes with the page.
 */

import { cache, type Tokenizer } from "rwkv-wasm";
import { type AttentionMap, attentionOf, glances } from "../../src/lab/attention.ts";
import { Reference, type Scan } from "../../src/lab/reference.ts";
import { readWeights } from "../../src/lab/weights.ts";
import { configOf } from "../../src/model/config.ts";
import { openGguf } from "../../src/weights/gguf-open.ts";
import { $, make } from "./dom.ts";

/** The end of a longer text counts: a token takes a hundredth of a second, and a map of more is too fine to point at. */
const TOKENS = 80;
/** Pixels of a cell before the canvas is scaled to its place. */
const CELL = 8;
/** Looks back over fewer tokens are not worth showing first. */
const DISTANCE = 6;

/** The model, read once. */
let opened:
  | Promise<{ weights: Awaited<ReturnType<typeof readWeights>>; config: ReturnType<typeof configOf> }>
  | undefined;

async function open(model: URL, kernels: URL) {
  // The library has the file from when it loaded it, perhaps without a network.
  const file = await openGguf(await cache.open(model));
  try {
    const module = await WebAssembly.compile(await (await fetch(kernels)).arrayBuffer());
    return { config: configOf(file), weights: await readWeights(file, module) };
  } finally {
    await file.close();
  }
}

/** Reads `text` and shows where its tokens look. `model` and `kernels`: where these files are. */
export async function showAttention(text: string, tokenizer: Tokenizer, model: URL, kernels: URL): Promise<void> {
  opened ??= open(model, kernels);
  opened.catch(() => {
    opened = undefined;
  });
  const { weights, config } = await opened;
  const ids = [tokenizer.bos ?? 0, ...tokenizer.encode(text).slice(-TOKENS)];
  const words = ids.map((id, i) => (i === 0 ? "the beginning" : `“${new TextDecoder().decode(tokenizer.bytes(id))}”`));
  const reference = new Reference(weights, config);
  const scans: Scan[][] = Array.from({ length: config.layers }, () => []);
  for (const [i, id] of ids.entries()) {
    reference.step(id, (layer, scan) => void scans[layer].push(scan));
    $("looks-value", HTMLElement).textContent = `Reading: ${i + 1} of ${ids.length} tokens`;
    if (i % 4 === 3) await new Promise((resolve) => setTimeout(resolve));
  }
  const layers = scans.map((scan) => attentionOf(config, scan));
  const heads = layers.flatMap(({ heads }, layer) => heads.map((map, head) => ({ layer, head, map })));
  const sharpest = glances(layers, DISTANCE, Math.min(8, ids.length >> 2))[0];

  const choice = $("looks-head", HTMLSelectElement);
  choice.replaceChildren(
    ...heads.map(({ layer, head }, i) => make("option", { value: String(i) }, `Layer ${layer}, head ${head}`)),
  );
  const best = heads.findIndex(({ layer, head }) => layer === sharpest?.layer && head === sharpest.head);
  choice.value = String(Math.max(0, best));
  const show = () => draw(heads[Number(choice.value)].map, words);
  choice.onchange = show;
  $("looks-map", HTMLElement).hidden = false;
  show();
  if (sharpest)
    $("looks-value", HTMLElement).textContent = sentence(words, heads[best].map, sharpest.from, sharpest.to);
}

const sentence = (
  words: readonly string[],
  { tokens, shares, weights }: AttentionMap,
  from: number,
  to: number,
): string =>
  `At ${words[from]}, ${words[to]} (${from - to} back) is ${Math.round(Math.abs(shares[from * tokens + to]) * 100)} % of the output; its weight is ${weights[from * tokens + to].toPrecision(3)}.`;

/** Rows look, columns are looked at. The value under the pointer stands below. */
function draw(map: AttentionMap, words: readonly string[]): void {
  const { tokens, shares } = map;
  const canvas = $("looks-canvas", HTMLCanvasElement);
  canvas.width = canvas.height = tokens * CELL;
  const context = canvas.getContext("2d")!;
  const { color } = getComputedStyle(canvas);
  context.fillStyle = color;
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i <= t; i++) {
      // The root makes small shares seen.
      context.globalAlpha = 0.04 + 0.96 * Math.sqrt(Math.abs(shares[t * tokens + i]));
      context.fillRect(i * CELL, t * CELL, CELL - 1, CELL - 1);
    }
  }
  canvas.onpointermove = ({ offsetX, offsetY }) => {
    const [i, t] = [offsetX, offsetY].map((at) => Math.floor((at / canvas.clientWidth) * tokens));
    if (i >= 0 && t < tokens && i <= t) $("looks-value", HTMLElement).textContent = sentence(words, map, t, i);
  };
  canvas.setAttribute("aria-label", `How much each of ${tokens} tokens looks at each earlier one`);
}
