// What fewer bits cost: how far a model's predictions are from those of a reference, over a text. Each document is one session:
// token 0, the text, token 0; every token but the first is predicted. The measure is the Kullback-Leibler divergence of the
// model's distribution from the reference's, per token; beside it, how well each of them predicts the text.
import type { WeightType } from "../src/engine/weight-types.ts";
import { builtPackage } from "./lib/built.ts";
import { documents } from "./lib/documents.ts";
import { LOADABLE, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options(
  {
    model: "weights/stories-7m.q8_0.gguf",
    /** What the model's matrices become; "file": as they are in the file. */
    weights: "q8_0",
    /** Another file of the same model, such as the one it was made from; without it the model itself. */
    reference: undefined as string | undefined,
    "reference-weights": "f32",
    text: "bench/stories.txt",
    json: undefined as string | undefined,
  },
  { weights: LOADABLE, "reference-weights": LOADABLE },
);
/** The token before and after a document. */
const END = 0;
/** Tokens whose logits are held at a time. */
const STEP = 64;

const { load } = await builtPackage();
const open = (file: string, weights: string) =>
  load(file, { weights: weights === "file" ? undefined : (weights as WeightType) });
const reference = await open(chosen.reference ?? chosen.model, chosen["reference-weights"]);
const model = await open(chosen.model, chosen.weights);
if (reference.info.vocab !== model.info.vocab) throw new Error("The two models have different vocabularies.");

/** In float64: log of the probability of every token. Overwrites and answers `into`. */
function logSoftmax(logits: Float32Array, into: Float64Array): Float64Array {
  const top = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - top);
  const log = top + Math.log(sum);
  for (let i = 0; i < logits.length; i++) into[i] = logits[i] - log;
  return into;
}

const p = new Float64Array(model.info.vocab);
const q = new Float64Array(model.info.vocab);
const total = { tokens: 0, bytes: 0, reference: 0, model: 0, divergence: 0, worst: 0, agree: 0 };
for (const text of documents(chosen.text)) {
  const ids = [END, ...model.tokenizer.encode(text), END];
  const [sessionP, sessionQ] = [reference.session(), model.session()];
  for (let at = 0; at < ids.length - 1; at += STEP) {
    const piece = ids.slice(at, Math.min(at + STEP, ids.length - 1));
    const [rowsP, rowsQ] = await Promise.all([sessionP.forward(piece), sessionQ.forward(piece)]);
    piece.forEach((_, i) => {
      logSoftmax(rowsP[i], p);
      logSoftmax(rowsQ[i], q);
      const next = ids[at + i + 1];
      let divergence = 0;
      let [bestP, bestQ] = [0, 0];
      for (let token = 0; token < p.length; token++) {
        divergence += Math.exp(p[token]) * (p[token] - q[token]);
        if (p[token] > p[bestP]) bestP = token;
        if (q[token] > q[bestQ]) bestQ = token;
      }
      total.tokens++;
      total.reference -= p[next];
      total.model -= q[next];
      total.divergence += divergence;
      total.worst = Math.max(total.worst, divergence);
      total.agree += Number(bestP === bestQ);
    });
  }
  await Promise.all([sessionP.close(), sessionQ.close()]);
  total.bytes += new TextEncoder().encode(text).length;
}
await Promise.all([reference.close(), model.close()]);

const report = new Report("Quality", chosen.json);
const row = report.table(`${chosen.text}: ${total.tokens} tokens, ${total.bytes} bytes`, [
  "model",
  "weights",
  "nats per token",
  "bits per byte",
  "KL per token",
  "worst token",
  "same first choice %",
]);
const nats = (sum: number) => (sum / total.tokens).toFixed(4);
const bits = (sum: number) => (sum / Math.LN2 / total.bytes).toFixed(4);
row(
  chosen.reference ?? chosen.model,
  chosen["reference-weights"],
  nats(total.reference),
  bits(total.reference),
  "",
  "",
  "",
);
row(
  chosen.model,
  chosen.weights,
  nats(total.model),
  bits(total.model),
  total.divergence / total.tokens,
  total.worst,
  (100 * total.agree) / total.tokens,
);
report.end();
