/**
 * The tree of all tokens by their bytes, in three typed arrays.
 *
 * Node 0 is the root, the empty string. Nodes are numbered breadth first, so the children of a node lie side by side,
 * in the order of their bytes, and nothing needs a pointer: children of node n are the nodes `first[n]` to
 * `first[n + 1] - 1`. A node costs 9 bytes. The World vocabulary has 116,079 nodes, 1 MB.
 */
import { RwkvError } from "../errors.ts";

/** Tokens are words and runs of spaces. The limit bounds the time of a longest match. */
export const MAX_TOKEN_BYTES = 1024;
/** Bytes of all tokens together; World has 373,358. */
const MAX_TOTAL_BYTES = 1 << 26;

export class Trie {
  /** Nodes + 1 entries: where the children of each node start. */
  readonly first: Uint32Array;
  /** The byte that leads from its parent to each node. */
  readonly label: Uint8Array;
  /** The token that ends at each node, or -1. */
  readonly token: Int32Array;

  /**
   * @param tokens the bytes of each id; an empty array is an id that no text gives. Of ids with equal bytes the
   * highest is kept, as BlinkDL's tokenizer does.
   * @throws RwkvError `unsupported` if a token is longer than 1,024 bytes, or all together than 64 MiB.
   */
  constructor(tokens: readonly Uint8Array[]) {
    const start = new Uint32Array(tokens.length + 1);
    let used = 0;
    for (let id = 0; id < tokens.length; id++) {
      const { length } = tokens[id];
      if (length > MAX_TOKEN_BYTES)
        throw new RwkvError("unsupported", `token ${id} is ${length} bytes long; the limit is ${MAX_TOKEN_BYTES}`);
      start[id + 1] = start[id] + length;
      if (start[id + 1] > MAX_TOTAL_BYTES)
        throw new RwkvError("unsupported", `the vocabulary is longer than ${MAX_TOTAL_BYTES} bytes`);
      if (length > 0) used++;
    }
    const total = start[tokens.length];
    const bytes = new Uint8Array(total);
    const order = new Uint32Array(used);
    used = 0;
    for (let id = 0; id < tokens.length; id++) {
      if (tokens[id].length === 0) continue;
      bytes.set(tokens[id], start[id]);
      order[used++] = id;
    }

    // Every node stands for a range of `order`: the tokens that begin with its bytes. Sorting each range by its next
    // byte gives the ranges of the children.
    const begin = new Uint32Array(total + 1);
    const end = new Uint32Array(total + 1);
    const first = new Uint32Array(total + 2);
    const label = new Uint8Array(total + 1);
    const token = new Int32Array(total + 1).fill(-1);
    const scratch = new Uint32Array(used);
    end[0] = used;
    let nodes = 1;
    for (let depth = 0, level = 0; level < nodes; depth++) {
      const levelEnd = nodes;
      for (let node = level; node < levelEnd; node++) {
        first[node] = nodes;
        const stop = end[node];
        let at = sortByByte(order, begin[node], stop, bytes, start, depth, scratch);
        if (at > begin[node]) token[node] = order[at - 1];
        while (at < stop) {
          const byte = bytes[start[order[at]] + depth];
          label[nodes] = byte;
          begin[nodes] = at;
          do at++;
          while (at < stop && bytes[start[order[at]] + depth] === byte);
          end[nodes++] = at;
        }
      }
      level = levelEnd;
    }
    first[nodes] = nodes;
    this.first = first.slice(0, nodes + 1);
    this.label = label.slice(0, nodes);
    this.token = token.slice(0, nodes);
  }

  /** The number of nodes. */
  get nodes(): number {
    return this.label.length;
  }

  /** The node that `byte` leads to from `node`, or -1. */
  child(node: number, byte: number): number {
    const { first, label } = this;
    let low = first[node];
    const stop = first[node + 1];
    let high = stop;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (label[middle] < byte) low = middle + 1;
      else high = middle;
    }
    return low < stop && label[low] === byte ? low : -1;
  }
}

/**
 * Sorts `order[from..to)`, tokens equal in their first `depth` bytes, by the byte at `depth`, keeping the order of equals.
 * Tokens that end at `depth` come first; returns where the others start.
 */
function sortByByte(
  order: Uint32Array,
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
      const id = order[i];
      const k = key(id);
      let j = i;
      for (; j > from && key(order[j - 1]) > k; j--) order[j] = order[j - 1];
      order[j] = id;
    }
  } else {
    const place = new Uint32Array(258);
    for (let i = from; i < to; i++) place[key(order[i]) + 1]++;
    for (let k = 0; k < 257; k++) place[k + 1] += place[k];
    for (let i = from; i < to; i++) scratch[place[key(order[i])]++] = order[i];
    order.set(scratch.subarray(0, to - from), from);
  }
  let at = from;
  while (at < to && key(order[at]) === 0) at++;
  return at;
}
