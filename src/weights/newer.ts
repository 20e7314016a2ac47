/** Models that are newer than what is run, or relatives of it: recognised by their tensors' names, so that errors can say so. */
import { RwkvError } from "../errors.ts";

/** What is not run, and the names by which it is known. */
const NEWER: readonly (readonly [names: RegExp, what: string])[] = [
  [/\.rosa(\d+|_qkv)?\./, "RWKV-8 with ROSA layers"],
  [/\.ffn\.enn\.weight$/, "a preview of RWKV-8, with DeepEmbed in its channel mixing"],
  [/^blocks\.\d+\.qkv\./, "RWKV-7b, with DeepEmbed attention beside its time mixing"],
  [/^blocks\.\d+\.ffn\.(s_emb|s_emb_x|s[012])\b/, "RWKV-7a, with DeepEmbed in its channel mixing"],
  [/^blocks\.\d+\.att\.time_mix_(x|w1|w2)$/, "RWKV-6 with its tensors renamed for web-rwkv"],
  [
    /\.(att\.(receptance|key|value|output)|attn\.[rkvo]_proj)\.bias$/,
    "a relative of RWKV with biases in its time mixing",
  ],
];

/** Throws `unsupported`, saying what it is, for models whose other tensors look like those of a version that is run. */
export function refuseNewer(file: string, names: readonly string[]): void {
  for (const [pattern, what] of NEWER) {
    const telling = names.find((name) => pattern.test(name));
    if (telling !== undefined)
      throw new RwkvError(
        "unsupported",
        `${file} is ${what} (it has a tensor "${telling}"), which is not read here; take an official checkpoint of RWKV-4 to RWKV-7`,
      );
  }
}
