/** The fixtures' models as other programs than the official one write them: other names, and numbers turned, joined or changed. */
import { type Official, officialTensors, turned } from "./official.ts";
import { type Entry, f32Bytes } from "./writers.ts";

export const entry = (name: string, shape: number[], values: ArrayLike<number>): Entry => ({
  name,
  shape,
  type: "F32",
  data: f32Bytes(values),
});
export const entries = (tensors: Official[]) => tensors.map(({ name, shape, values }) => entry(name, shape, values));

/** The names of transformers' RWKV-4 and of the remote-code models after it. */
export function transformersName(name: string): string {
  if (name.startsWith("head.")) return name;
  return `rwkv.${name
    .replace("emb.", "embeddings.")
    .replace("ln0", "pre_ln")
    .replace(".att.", ".attention.")
    .replace(".ffn.", ".feed_forward.")
    .replace(
      /time_mix_([kvrg])$/,
      (_, c: string) => `time_mix_${{ k: "key", v: "value", r: "receptance", g: "gate" }[c]}`,
    )}`;
}

/** Version 7 as fla has it: other names, low-rank matrices turned. `joinedShifts`: as early files have them. */
export async function fla(joinedShifts = false): Promise<Entry[]> {
  const shifts: Record<string, number[]> = {};
  const all: Entry[] = [];
  for (const { name, shape, values } of await officialTensors("7")) {
    const called = name
      .replace(/^emb\./, "model.embeddings.")
      .replace(/^ln_out\./, "model.norm.")
      .replace(/^head\./, "lm_head.")
      .replace(/^blocks\./, "model.layers.")
      .replace(".ln0.", ".pre_norm.")
      .replace(".ln1.", ".attn_norm.")
      .replace(".ln2.", ".ffn_norm.")
      .replace(".att.ln_x.", ".attn.g_norm.")
      .replace(/\.att\.([wavg])0$/, ".attn.$1_lora.lora.2.bias")
      .replace(/\.att\.([wavg])1$/, ".attn.$1_lora.lora.0.weight")
      .replace(/\.att\.([wavg])2$/, ".attn.$1_lora.lora.2.weight")
      .replace(".att.receptance.", ".attn.r_proj.")
      .replace(".att.key.", ".attn.k_proj.")
      .replace(".att.value.", ".attn.v_proj.")
      .replace(".att.output.", ".attn.o_proj.")
      .replace(".att.", ".attn.");
    const shift = /^(.*\.attn\.x_)[rwkvag]$/.exec(called);
    if (joinedShifts && shift) {
      const list = shifts[`${shift[1]}x`] ?? [];
      shifts[`${shift[1]}x`] = list;
      list.splice("rwkvag".indexOf(called.at(-1)!) * 128, 0, ...values);
    } else if (called.includes("_lora") && shape.length === 2) {
      all.push(entry(called, shape.toReversed(), turned(values, shape.toReversed())));
    } else {
      all.push(entry(called, shape, values));
    }
  }
  return [...all, ...Object.entries(shifts).map(([name, values]) => entry(name, [6, 128], values))];
}

/** A checkpoint as rwkv.cpp's converter writes it (python/convert_pytorch_to_ggml.py of github.com/RWKV/rwkv.cpp). */
export async function rwkvCpp(version: string): Promise<Entry[]> {
  const all: Entry[] = [];
  const shifts: Record<string, Float32Array> = {};
  for (const { name, shape, values } of await officialTensors(version)) {
    const part = name.slice(name.lastIndexOf(".") + 1);
    const joinedName = name.replace(/x_[rwkvag]$/, "x_rwkvag");
    const add = (sizes: number[], data: ArrayLike<number>) =>
      all.push({ name, shape: sizes, type: 0, data: f32Bytes(data) });
    if (/\.att\.x_[rwkvag]$/.test(name)) {
      const together = shifts[joinedName] ?? new Float32Array(6 * 128);
      if (!shifts[joinedName])
        all.push({ name: joinedName, shape: [6, 1, 128], type: 0, data: new Uint8Array(together.buffer) });
      shifts[joinedName] = together;
      together.set(values, 128 * "rwkvag".indexOf(part[2]));
    } else if (/^(time_maa_w[12]|time_decay_w[12]|[wavg][12])$/.test(part)) {
      const sizes = [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
      add(sizes, turned(values, sizes));
    } else if (part === "time_decay") {
      if (version === "4")
        add(
          shape,
          values.map((w) => -Math.exp(w)),
        );
      else if (version === "6") add([2, 64, 1], values);
      else
        add(
          version === "5.2" ? [2, 64, 1] : version === "5.1" ? [2, 1] : [2, 1, 1],
          values.map((w) => Math.exp(-Math.exp(w))),
        );
    } else if (part === "time_first" && version !== "4") add([2, 1, 1], values.map(Math.exp));
    else if (part === "time_faaaa") add([2, 64, 1], values);
    else add(version === "7" && shape.length === 1 && /\d$|k_/.test(part) ? [1, 1, 128] : shape, values);
  }
  return all;
}
