// The tree of tokens.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { TokenTrie } from "../../src/grammar/trie.ts";
import { worldTrie } from "./walk.ts";
import { wrong } from "./wrong.ts";

/** Checks every node against the tokens. */
function check(trie: TokenTrie, tokens: readonly Uint8Array[]): void {
  const path: number[] = [];
  const found: number[] = [];
  const texts = new Set(tokens.flatMap((token) => Array.from(token, (_, i) => token.slice(0, i + 1).join())));
  assert.is(trie.nodes, texts.size + 1);
  for (let node = 1; node < trie.nodes; node++) {
    path.length = trie.depth[node] - 1;
    path.push(trie.label[node]);
    assert.ok(texts.delete(path.join()), "each prefix of a token has one node");
    for (let i = trie.first[node]; i < trie.first[node + 1]; i++) {
      assert.equal([...tokens[trie.ids[i]]], path);
      found.push(trie.ids[i]);
    }
    let end = node + 1;
    while (end < trie.nodes && trie.depth[end] > trie.depth[node]) end++;
    assert.is(trie.skip[node], end);
  }
  assert.is(trie.skip[0], trie.nodes);
  const expected = tokens.flatMap(({ length }, id) => (length ? [id] : []));
  assert.equal(
    found.sort((a, b) => a - b),
    expected,
  );
}

const token = fc.uint8Array({ maxLength: 6, max: 3 });

test("tokens at random, some equal, some empty", () => {
  fc.assert(fc.property(fc.array(token, { maxLength: 200 }), (tokens) => check(new TokenTrie(tokens), tokens)));
});

test("flat tokens make the same tree", () => {
  fc.assert(
    fc.property(fc.array(token), (tokens) => {
      const start = new Uint32Array(tokens.length + 1);
      for (const [i, { length }] of tokens.entries()) start[i + 1] = start[i] + length;
      const flat = { bytes: Uint8Array.from(tokens.flatMap((bytes) => [...bytes])), start };
      check(new TokenTrie(flat), tokens);
    }),
  );
});

test("World's vocabulary takes less than 8 MB", async () => {
  const trie = await worldTrie();
  assert.is(trie.nodes, 116_079);
  assert.ok(trie.memory < 8e6, `${trie.memory} bytes`);
  check(
    trie,
    Array.from({ length: trie.size }, (_, id) => trie.token(id)),
  );
});

test("tokens too long, and arrays that contradict each other, are refused", () => {
  new TokenTrie([new Uint8Array(1024)]);
  wrong(
    () => new TokenTrie([new Uint8Array(1), new Uint8Array(1025)]),
    "unsupported",
    /token 1 is longer than the 1024/,
  );
  wrong(
    () => new TokenTrie({ bytes: new Uint8Array(3), start: Uint32Array.of(0, 4) }),
    "input",
    /do not fit in 3 bytes/,
  );
  wrong(() => new TokenTrie({ bytes: new Uint8Array(3), start: Uint32Array.of(0, 2, 1, 3) }), "unsupported", /token 1/);
  assert.is(new TokenTrie([]).nodes, 1);
});

test.run();
