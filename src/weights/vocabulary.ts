/** The vocabulary beside a model whose own file brings none: models in `.pth` and `.safetensors` come with one in a file. */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { withSiblings } from "./beside.ts";

/** Names of vocabulary files, in the order in which they are looked for. */
const NAMES = ["rwkv_vocab_v20230424.txt", "tokenizer.json"] as const;

/** Far above what vocabularies need: World's file has 1.2 MB, a `tokenizer.json` up to a few. */
const MOST_BYTES = 32 << 20;

export interface VocabularyFile {
  /** The World text format, or what Hugging Face's tokenizers library saves. */
  readonly kind: "world" | "tokenizer.json";
  /** For messages. */
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * The vocabulary file in the folder of `source`, unread; `undefined` if there is none, or no file can be opened beside it.
 *
 * Errors: `unsupported` for one beyond the limit; what the sources throw passes through.
 */
export async function vocabularyBeside(source: Source, signal?: AbortSignal): Promise<VocabularyFile | undefined> {
  return await withSiblings(source, async (siblings) => {
    for (const name of NAMES) {
      const found = await siblings.find(name, signal);
      if (!found) continue;
      if (found.size > MOST_BYTES)
        throw new RwkvError(
          "unsupported",
          `${found.name} is longer than the ${MOST_BYTES} bytes that a vocabulary may have`,
        );
      const bytes = await found.read(0, found.size, signal);
      await siblings.close(false);
      return { kind: name === "tokenizer.json" ? name : "world", name: found.name, bytes };
    }
    return undefined;
  });
}
