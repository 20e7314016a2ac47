/** Shapes shared by several levels. Types only: nothing here runs. */

/** How a tensor's numbers are stored, by GGML's names. */
export type DType =
  | "f32"
  | "f16"
  | "bf16"
  | "q4_0"
  | "q4_1"
  | "q5_0"
  | "q5_1"
  | "q8_0"
  | "q2_k"
  | "q3_k"
  | "q4_k"
  | "q5_k"
  | "q6_k"
  | "iq4_nl"
  | "iq4_xs";

/** What a cache of downloads did for a file, and for those that were opened beside it. */
export interface CacheReport {
  /** Where downloads are kept: "OPFS", "CacheStorage", "memory", a folder; "none" if that could not be opened. */
  readonly store: string;
  /** Bytes that were there already, and bytes that came over the network. */
  readonly reused: number;
  readonly fetched: number;
  /**
   * Why nothing more was kept, if so: there is no room; the server gives nothing by which a change would show; the store could not
   * be opened, read or written.
   */
  readonly problem?: "full" | "unversioned" | "failed";
}

/** Bytes with a name and a size that can be read by range: a file, a Blob, a URL, an array. */
export interface Source {
  /** For messages: the path, URL or a description. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`, in an array whose buffer belongs to the caller (it may be transferred). A source may
   * put them at the start of `into`, if that is given and large enough, instead of into a new buffer; when the read is rejected, `into`
   * must not be used again.
   */
  read(offset: number, length: number, signal?: AbortSignal, into?: ArrayBuffer): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * The same into all of `into`, which may be memory that threads share. Absent where something else than this thread would have to do it, and
   * cannot.
   */
  readInto?(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void>;
  /**
   * Opens the file of that name beside this one, in the same folder; `undefined` if there is none. For models of several
   * files. What it opens is closed by whoever asked for it. Absent where there is no beside, as with plain bytes.
   */
  sibling?(name: string, signal?: AbortSignal): Promise<Source | undefined>;
  /** For files that go through a cache of downloads. The numbers grow with each read. */
  readonly cache?: CacheReport;
  close(): Promise<void>;
}

/**
 * What a converter has already done to a tensor's numbers, where x is what official checkpoints hold. The plan has to leave
 * that step out, or to undo it.
 */
export type Form = "exp(x)" | "-exp(x)" | "exp(-exp(x))";

/** One tensor as it lies in a file. No data is held. */
export interface TensorInfo {
  /** Canonical (BlinkDL's) name, such as `blocks.0.att.key.weight`. */
  readonly name: string;
  /** The name in the file, for messages. */
  readonly fileName: string;
  readonly dtype: DType;
  /**
   * Sizes, slowest first: `[C]` for a vector, `[rows, cols]` for a matrix, `[n, rows, cols]` for n matrices. A matrix counts
   * as (outputs, inputs): the kernels want rows = outputs. Decay and bonus (`time_decay`, `time_first`, `time_faaaa`, `r_k`)
   * are `[heads]` or `[heads, head size]` where the file says so, else flat.
   */
  readonly shape: readonly number[];
  /**
   * True when the file holds the matrix, or each of the n, as (inputs, outputs), so that it must be turned while packing:
   * its bytes are those of an array of sizes `[..., cols, rows]`.
   */
  readonly transposed: boolean;
  /** Absent: the numbers are those of official checkpoints. */
  readonly form?: Form;
  readonly source: Source;
  /** Where the data starts in `source`, and how many bytes it takes. */
  readonly offset: number;
  readonly bytes: number;
}

/** A vocabulary as a file gives it: `tokens[id]` is the token's bytes. */
export interface Vocabulary {
  readonly kind: "world" | "bytes";
  readonly tokens: readonly Uint8Array[];
  /** The token that starts a text, if the file names one. */
  readonly bos?: number;
  /** Tokens that end a text. */
  readonly eos: readonly number[];
}

/**
 * What is used of the package @huggingface/tokenizers, which is optional: its class `Tokenizer`, made from a
 * `tokenizer.json` and a configuration.
 */
export type HfTokenizer = new (
  tokenizer: object,
  config: object,
) => {
  normalizer: unknown;
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
};

/** What is used of the package @huggingface/jinja, which is optional: its class `Template`. */
export type JinjaTemplate = new (source: string) => { render(values: Record<string, unknown>): string };

/** An opened weights file: what it holds, by canonical name. */
export interface TensorFile {
  readonly name: string;
  readonly container: "gguf" | "safetensors" | "pth" | "ggmf";
  /** The architecture when the container says it (`rwkv7`), else found from tensor names. */
  readonly architecture?: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Names of tensors in the file that mean nothing here: they are left out, and worth a warning. */
  readonly unknown: readonly string[];
  /** It is no model, but a LoRA or a tuned state. */
  readonly tuned?: boolean;
  /** What else is odd about the file or what lies beside it, but no error: a sentence each. */
  readonly warnings?: readonly string[];
  readonly vocabulary?: Vocabulary;
  /** Epsilons and other facts a container may state, by canonical key. */
  readonly facts: ReadonlyMap<string, number | string>;
  close(): Promise<void>;
}
