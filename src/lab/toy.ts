/**
 * Tasks whose answers are known, and models of one layer whose weights are set by hand so that they solve them as well as their version
 * can. All models have the same idea: a token's value is stored under the token before it, and each token asks for what followed it
 * last time. So what a token has to look at is known, and it shows what a version's recurrence can do, whatever training finds.
 *
 * Tokens are rows of a Hadamard matrix: numbers of 1 and -1, each row at right angles to all others, with as many of either sign, so
 * that a layer norm leaves them as they are, and of two tokens one has nothing of the other.
 */

import { type Checkpoint, safetensorsOf } from "./official.ts";

/** The generations that are compared; those of version 5 differ in nothing that matters here. */
export const TOY_VERSIONS = ["4", "5.2", "6", "7"] as const;
export type ToyVersion = (typeof TOY_VERSIONS)[number];

/** Channels, and the size of the one head. */
const C = 64;
/** Words in the models' vocabulary. Token 0 is not used. */
export const WORDS = [..." ABCDEFGHIJKLMNOPQRSTUVWXYZ12345"];

export interface Task {
  readonly name: string;
  readonly what: string;
  readonly words: readonly string[];
}

/** Texts in which what comes next is known from what came before. */
export const TASKS: readonly Task[] = [
  { name: "copy", what: "a list, and the list again", words: [..."SABCDEFGHSABCDEFG"] },
  { name: "induction", what: "a token that comes again is followed by what followed it", words: [..."KQWTAZMPCAXDLW"] },
  {
    name: "recall",
    what: "keys and values; A gets another value; then the keys are asked for",
    words: [..."A1B2C3D4A5BDCA"],
  },
];

export const idsOf = ({ words }: Task): number[] => words.map((word) => WORDS.indexOf(word));

/** What token t has to look at: all tokens behind an earlier token of its kind, the last one last. */
export function sourcesOf(ids: readonly number[], t: number): number[] {
  return ids.flatMap((_, i) => (i > 0 && i <= t && ids[i - 1] === ids[t] ? [i] : []));
}

/** Row i of a Hadamard matrix, at column j: the parity of the bits that both have. */
function hadamard(i: number, j: number): number {
  let bits = i & j;
  let sign = 1;
  for (; bits; bits &= bits - 1) sign = -sign;
  return sign;
}

/** The model as a safetensors file. */
export function toyModel(version: ToyVersion): Promise<Uint8Array<ArrayBuffer>> {
  const checkpoint: Checkpoint = new Map();
  const put = (name: string, shape: number[], number: (i: number) => number) =>
    checkpoint.set(name, {
      shape,
      numbers: new Float32Array(shape.reduce((product, n) => product * n, 1)).map((_, i) => number(i)),
    });
  const vector = (name: string, number: number) => put(name, [C], () => number);
  const diagonal = (name: string, number: number) =>
    put(name, [C, C], (i) => (Math.floor(i / C) === i % C ? number : 0));
  /** Its input without the mean of its channels, times a number. */
  const centred = (name: string, number: number) =>
    put(name, [C, C], (i) => ((Math.floor(i / C) === i % C ? 1 : 0) - 1 / C) * number);
  const norm = (name: string, bias = 0) => {
    vector(`${name}.weight`, 1);
    vector(`${name}.bias`, bias);
  };
  const [att, ffn] = ["blocks.0.att.", "blocks.0.ffn."];

  put("emb.weight", [WORDS.length, C], (i) => hadamard(Math.floor(i / C) + 1, i % C));
  norm("blocks.0.ln0");
  // The bias is what gates take, which are to be open whatever the token.
  norm("blocks.0.ln1", 1);
  norm("blocks.0.ln2");
  // A token's length is 8: so a key and the token that asks for it give 1.
  centred(`${att}receptance.weight`, version === "4" ? 0 : 1 / 8);
  centred(`${att}key.weight`, version === "4" ? 0 : 1 / 8);
  centred(`${att}value.weight`, 1);
  diagonal(`${att}output.weight`, 4);
  if (version !== "4") norm(`${att}ln_x`);
  if (version === "5.2" || version === "6") put(`${att}gate.weight`, [C, C], () => 4 / C);

  // Keys are of the token before, everything else is of the token itself.
  if (version === "7") {
    for (const c of "rwkvag") vector(`${att}x_${c}`, c === "k" ? 1 : 0);
    const low = (c: string, rank: number, up: number) => {
      put(`${att}${c}1`, [C, rank], () => 0);
      put(`${att}${c}2`, [rank, C], () => up);
    };
    for (const c of "wa") low(c, 8, 0);
    // Half of each of the rank's numbers.
    low("g", 8, 1 / 4);
    vector(`${att}w0`, -40); // nothing fades
    vector(`${att}a0`, 40); // what was stored under a key is replaced
    vector(`${att}k_k`, 1);
    vector(`${att}k_a`, 1);
    put(`${att}r_k`, [1, C], () => 0);
    vector(`${ffn}x_k`, 0);
  } else if (version === "6") {
    for (const c of "xwkvrg") vector(`${att}time_maa_${c}`, c === "k" ? 1 : 0);
    put(`${att}time_maa_w1`, [C, 5 * 8], () => 0);
    put(`${att}time_maa_w2`, [5, 8, C], () => 0);
    put(`${att}time_decay_w1`, [C, 8], () => 0);
    put(`${att}time_decay_w2`, [8, C], () => 0);
    vector(`${att}time_decay`, -40);
    put(`${att}time_faaaa`, [1, C], () => 0);
    for (const c of "kr") vector(`${ffn}time_maa_${c}`, 0);
  } else {
    for (const c of version === "4" ? "kvr" : "kvrg") vector(`${att}time_mix_${c}`, c === "k" ? 0 : 1);
    for (const c of "kr") vector(`${ffn}time_mix_${c}`, 1);
    // Version 4 cannot ask: all that it has is channels that fade, here within 1 to 64 tokens.
    if (version === "4") put(`${att}time_decay`, [C], (i) => -Math.log(2 ** ((i * 6) / (C - 1))));
    else put(`${att}time_decay`, [1, C], () => -40);
    put(`${att}${version === "4" ? "time_first" : "time_faaaa"}`, version === "4" ? [C] : [1, C], () => 0);
  }
  put(`${ffn}key.weight`, [C, C], () => 0);
  put(`${ffn}value.weight`, [C, C], () => 0);
  if (version !== "7") put(`${ffn}receptance.weight`, [C, C], () => 0);
  norm("ln_out");
  put("head.weight", [WORDS.length, C], (i) => hadamard(Math.floor(i / C) + 1, i % C) / 8);
  return safetensorsOf(checkpoint);
}
