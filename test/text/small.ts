/** The smallest `tokenizer.json` that is sound: all bytes, in their characters, with the byte as id; one merge, one added token. */
export function smallTokenizerJson() {
  const vocab: Record<string, unknown> = {};
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    vocab[String.fromCharCode(visible ? byte : next++)] = byte;
  }
  vocab.ab = 256;
  return {
    added_tokens: [{ id: 257, content: "<end>", special: true }] as Record<string, unknown>[] | unknown,
    normalizer: null as unknown,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false } as Record<string, unknown> | null,
    model: { type: "BPE", vocab, merges: ["a b"] as unknown } as Record<string, unknown>,
  };
}
