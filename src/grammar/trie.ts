/**
 * The tree of all tokens by their bytes, for finding out which of them an automaton can go along with.
 *
 * Nodes are numbered in the order of a walk that goes down first, children by their bytes; node 0 is the root, the empty string.
 * So whatever is below node n are the nodes n + 1 to `skip[n]` - 1, a walk is a loop over ascending numbers, and to leave
 * a branch out is a jump. The tokens are sorted in the same order: those at node n are `ids[first[n]]` to
 * `ids[first[n + 1] - 1]`. The World vocabulary has 116,079 nodes and takes 2.2 MB.
 */
import { RwkvError } from "../errors.ts";

/** As in the tokenizer. */
const MAX_TOKEN_BYTES = 1024;
const MAX_TOTAL_BYTES = 1 << 26;
/** What the token id has to fit. */
const MAX_TOKENS = 1 << 24;

/** The bytes of all tokens, one after another: token i is `bytes[start[i]]` to `bytes[start[i + 1] - 1]`. */
export interface FlatTokens {
  readonly bytes: Uint8Array;
  readonly start: Uint32Array;
}

export class TokenTrie {
  /** The byte that leads to each node, and how many lead to it from the root. */
  readonly label: Uint8Array;
  readonly depth: Uint16Array;
  /** The node that follows all that is below a node. */
  readonly skip: Uint32Array;
  /** Where the tokens of each node start in `ids`; one entry more than nodes. */
  readonly first: Uint32Array;
  /** Token ids in the order of their bytes. Ids without bytes are not among them. */
  readonly ids: Uint32Array;
  readonly tokens: FlatTokens;

  /**
   * @param tokens the bytes of each id, as arrays or flat. An id without bytes is no text, and never part of one; ids may
   * have the same bytes.
   * @throws RwkvError `unsupported` if a token is longer than 1,024 bytes, or all together than 64 MiB.
   */
  constructor(tokens: readonly Uint8Array[] | FlatTokens) {
    const flat = "bytes" in tokens ? tokens : flatten(tokens);
    const { bytes, start } = flat;
    const count = start.length - 1;
    if (count < 0 || count > MAX_TOKENS || start[count] > bytes.length)
      throw new RwkvError("input", `${count} tokens do not fit in ${bytes.length} bytes`);
    let used = 0;
    for (let id = 0; id < count; id++) {
      const length = start[id + 1] - start[id];
      if (start[id + 1] < start[id] || length > MAX_TOKEN_BYTES)
        throw new RwkvError("unsupported", `token ${id} is longer than the ${MAX_TOKEN_BYTES} bytes that one may have`);
      if (length > 0) used++;
    }
    const ids = new Uint32Array(used);
    for (let id = 0, at = 0; id < count; id++) if (start[id + 1] > start[id]) ids[at++] = id;

    const most = start[count] - start[0] + 1;
    const label = new Uint8Array(most);
    const depth = new Uint16Array(most);
    const skip = new Uint32Array(most);
    const first = new Uint32Array(most + 1);
    const scratch = new Uint32Array(used);
    // The branch to each node of the current path: what is left of its parent's tokens, from `at` to `end`.
    const end = new Uint32Array(MAX_TOKEN_BYTES + 2);
    const path = new Uint32Array(MAX_TOKEN_BYTES + 2);
    let nodes = 1;
    let at = sortByByte(ids, 0, used, bytes, start, 0, scratch);
    end[0] = used;
    for (let level = 0; level >= 0; ) {
      if (at === end[level]) {
        skip[path[level--]] = nodes;
        continue;
      }
      // The next child of the path's last node: as many tokens as share the next byte.
      const from = at;
      const byte = bytes[start[ids[at]] + level];
      do at++;
      while (at < end[level] && bytes[start[ids[at]] + level] === byte);
      const node = nodes++;
      label[node] = byte;
      depth[node] = level + 1;
      first[node] = from;
      level++;
      path[level] = node;
      end[level] = at;
      at = sortByByte(ids, from, at, bytes, start, level, scratch);
    }
    first[nodes] = used;
    this.label = label.slice(0, nodes);
    this.depth = depth.slice(0, nodes);
    this.skip = skip.slice(0, nodes);
    this.first = first.slice(0, nodes + 1);
    // A node's own tokens come first among those below it, so where they end is where the next node's start.
    this.ids = ids;
    this.tokens = flat;
  }

  get nodes(): number {
    return this.label.length;
  }

  /** The number of ids, those without bytes included. */
  get size(): number {
    return this.tokens.start.length - 1;
  }

  /** The bytes of a token, not copied. */
  token(id: number): Uint8Array {
    const { bytes, start } = this.tokens;
    return bytes.subarray(start[id], start[id + 1]);
  }

  /** What the typed arrays take together. */
  get memory(): number {
    const { label, depth, skip, first, ids, tokens } = this;
    const arrays = [label, depth, skip, first, ids, tokens.start, tokens.bytes];
    return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }
}

function flatten(tokens: readonly Uint8Array[]): FlatTokens {
  const start = new Uint32Array(tokens.length + 1);
  for (let id = 0, total = 0; id < tokens.length; id++) {
    total += tokens[id].length;
    if (total > MAX_TOTAL_BYTES)
      throw new RwkvError("unsupported", `the vocabulary is longer than ${MAX_TOTAL_BYTES} bytes`);
    start[id + 1] = total;
  }
  const bytes = new Uint8Array(start[tokens.length]);
  for (let id = 0; id < tokens.length; id++) bytes.set(tokens[id], start[id]);
  return { bytes, start };
}

/**
 * Sorts `ids[from..to)`, tokens equal in their first `depth` bytes, by the byte at `depth`, keeping the order of equals.
 * Tokens that end at `depth` come first; returns where the others start.
 */
function sortByByte(
  ids: Uint32Array,
  from: number,
  to: number,
  bytes: Uint8Array,
  start: Uint32Array,
  depth: number,
  scratch: Uint32Array,
): number {
  // 0 for a token that has ended, else its byte + 1.
  const key = (id: number): number => (start[id] + depth < start[id + 1] ? bytes[start[id] + depth] + 1 : 0);
  if (to - from < 32) {
    for (let i = from + 1; i < to; i++) {
      const id = ids[i];
      const k = key(id);
      let j = i;
      for (; j > from && key(ids[j - 1]) > k; j--) ids[j] = ids[j - 1];
      ids[j] = id;
    }
  } else {
    const place = new Uint32Array(258);
    for (let i = from; i < to; i++) place[key(ids[i]) + 1]++;
    for (let k = 0; k < 257; k++) place[k + 1] += place[k];
    for (let i = from; i < to; i++) scratch[place[key(ids[i])]++] = ids[i];
    ids.set(scratch.subarray(0, to - from), from);
  }
  let at = from;
  while (at < to && key(ids[at]) === 0) at++;
  return at;
}
