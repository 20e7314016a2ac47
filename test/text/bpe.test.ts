// BPE against another implementation's results for the Pile models' vocabulary, and against hostile files.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Tokenizer as Hf } from "@huggingface/tokenizers";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { BpeTokenizer } from "../../src/text/bpe.ts";
import { padded } from "../../src/text/padded.ts";
import { TextStream } from "../../src/text/stream.ts";
import { smallTokenizerJson as small } from "./small.ts";

const require = createRequire(import.meta.url);
/** An independent tokenizer with the Pile models' vocabulary. Some of its ids are texts. */
const official = require("rwkv-tokenizer-node") as { encode(text: string): (number | string)[] };
const file = readFileSync(require.resolve("rwkv-tokenizer-node/20B_tokenizer.json"), "utf8");
const pile = new BpeTokenizer(file, Hf, "20B_tokenizer.json");
const { cases } = JSON.parse(readFileSync("test/fixtures/world.json", "utf8")) as { cases: { text: string }[] };

const failsAs = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RwkvError && error.code === code && message.test(error.message);
const joined = (ids: Iterable<number>): Uint8Array => Buffer.concat(Array.from(ids, (id) => pile.bytes(id)));

for (const { text } of cases) {
  test(`encodes as rwkv-tokenizer-node: ${JSON.stringify(text.slice(0, 40))}`, () => {
    const ids = pile.encode(text);
    assert.equal([...ids], official.encode(text).map(Number));
    assert.is(pile.decode(ids), text.normalize("NFC"));
  });
}

test("encodes as rwkv-tokenizer-node: random text", () => {
  const words = fc.constantFrom(
    "'s",
    "'re",
    " the",
    "tion",
    "\n",
    "  ",
    "1",
    "23",
    "<|endoftext|>",
    "\u00e9",
    "\u0301",
    "\u5b69",
  );
  const text = fc.array(fc.oneof(words, fc.string({ unit: "grapheme", maxLength: 6 })), { maxLength: 8 });
  fc.assert(
    fc.property(text, (parts) => {
      const all = parts.join("");
      assert.equal([...pile.encode(all)], official.encode(all).map(Number));
    }),
    { numRuns: 60 },
  );
});

test("known ids", () => {
  assert.equal([...pile.encode("Hello world")], [12092, 1533]);
  assert.equal([...pile.encode("\n")], [187]);
  assert.is(pile.kind, "bpe");
  assert.is(pile.size, 50277);
  assert.is(pile.bos, 0);
  assert.equal(pile.eos, [0]);
});

test("a special token's text is that token, and comes back as its text", () => {
  assert.equal([...pile.encode("a<|endoftext|>b")], [66, 0, 67]);
  assert.is(pile.decode([66, 0, 67]), "a<|endoftext|>b");
});

/** Those that never occur in UTF-8. */
const without = (byte: number) => byte === 0xc0 || byte === 0xc1 || byte >= 0xf5;

test("any bytes for which there are tokens survive the round trip", () => {
  const edges = [0x20, 0x41, 0x80, 0xa0, 0xbf, 0xc2, 0xcc, 0x81, 0xe0, 0xe2, 0xed, 0xef, 0xbb, 0xf0, 0xf4];
  const byte = fc.oneof(fc.constantFrom(...edges), fc.nat(255)).filter((value) => !without(value));
  const bytes = fc.array(byte, { maxLength: 60 }).map((values) => Uint8Array.from(values));
  fc.assert(
    fc.property(bytes, (given) => assert.equal(joined(pile.encode(given)), Buffer.from(given))),
    { numRuns: 500 },
  );
});

test("text in bytes is encoded as text, but comes back as it was even where it is not in normal form", () => {
  const encoder = new TextEncoder();
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
      const ids = pile.encode(encoder.encode(text));
      assert.is(pile.decode(ids), text);
      if (text === text.normalize("NFC")) assert.equal(ids, pile.encode(text));
    }),
    { numRuns: 300 },
  );
  assert.is(pile.decode(pile.encode("e\u0301")), "\u00e9");
  assert.is(pile.decode(pile.encode(encoder.encode("e\u0301"))), "e\u0301");
  // The normal form is back for the next string.
  assert.is(pile.decode(pile.encode("e\u0301")), "\u00e9");
});

test("every byte without a token is refused with its position, and the next string is normalised", () => {
  for (let byte = 0; byte < 256; byte++) {
    const bytes = Uint8Array.of(0x61, byte, 0x62);
    if (!without(byte)) assert.equal(joined(pile.encode(bytes)), Buffer.from(bytes));
    else assert.throws(() => pile.encode(bytes), failsAs("input", new RegExp(`0x${byte.toString(16)} at byte 1`)));
  }
  assert.is(pile.decode(pile.encode("e\u0301")), "\u00e9");
});

test("streamed token by token, a text never shows half a character", () => {
  const text = "\u{1f642}\u{1f680} \u5b69\u5b50 \u{10ffff}\u{2a6d6}";
  const stream = new TextStream();
  let sofar = "";
  for (const id of pile.encode(text)) {
    sofar += stream.push(pile.bytes(id));
    assert.ok(text.startsWith(sofar));
  }
  assert.is(sofar + stream.flush(), text);
});

test("half a surrogate pair, other types and ids out of range are refused", () => {
  assert.throws(() => pile.encode("ab\ud83d"), failsAs("input", /U\+D83D.* position 2/));
  for (const wrong of [undefined, null, 5, ["a"], new ArrayBuffer(2)])
    assert.throws(() => pile.encode(wrong as unknown as string), failsAs("input", /only a string or a Uint8Array/));
  for (const id of [-1, 50277, 1.5, Number.NaN, "3" as unknown as number])
    assert.throws(() => pile.decode([id]), failsAs("input", /out of range/));
  assert.is(pile.encode("").length, 0);
  assert.is(pile.encode(new Uint8Array(0)).length, 0);
  assert.is(pile.decode([]), "");
});

test("padded: ids left over are tokens without bytes", () => {
  const wide = padded(pile, 50304);
  assert.is(wide.size, 50304);
  assert.equal(wide.encode("Hello"), pile.encode("Hello"));
  assert.is(wide.bytes(50303).length, 0);
  assert.is(wide.decode([12092, 50277, 50303, 1533]), "Hello world");
  for (const id of [50304, -1, 50280.5]) {
    assert.throws(() => wide.bytes(id), failsAs("input", /out of range/));
    assert.throws(() => wide.decode([id]), failsAs("input", /out of range/));
  }
  assert.is(padded(pile, 50277), pile);
  assert.throws(() => padded(pile, 50276), failsAs("input", /another model/));
});

test("a small file: all bytes, both ways of writing merges, no normalisation, no end", () => {
  const tokenizer = (change: (json: ReturnType<typeof small>) => void) => {
    const json = small();
    change(json);
    return new BpeTokenizer(JSON.stringify(json), Hf);
  };
  const pairs = tokenizer((json) => {
    json.model.merges = [["a", "b"]];
  });
  for (const made of [tokenizer(() => {}), pairs]) {
    assert.equal([...made.encode("abc<end>\u00ff")], [256, 0x63, 257, 0xc3, 0xbf]);
    assert.equal([...made.encode(Uint8Array.of(0xff, 0xc0, 0x61, 0x62))], [0xff, 0xc0, 256]);
    assert.is(made.decode(made.encode("e\u0301")), "e\u0301");
    assert.is(made.bos, undefined);
    assert.equal(made.eos, []);
  }
  assert.is(tokenizer((json) => Object.assign(json.model.vocab as object, { abc: 300 })).bytes(299).length, 0);
});

test("files that are damaged or of another kind are refused, saying why", () => {
  const refused = (code: string, message: RegExp, change: (json: ReturnType<typeof small>) => void) => {
    const json = small();
    change(json);
    assert.throws(() => new BpeTokenizer(JSON.stringify(json), Hf, "t.json"), failsAs(code, message), String(message));
  };
  const vocab = (json: ReturnType<typeof small>) => json.model.vocab as Record<string, unknown>;
  refused("weights", /^t\.json: it has no model/, (json) => {
    json.model = [] as never;
  });
  refused("weights", /no model with/, (json) => {
    json.model.merges = {};
  });
  refused("weights", /no model with/, (json) => {
    json.added_tokens = 5;
  });
  for (const id of [-1, 1.5, "7", null, 1 << 20, {}])
    refused("weights", /the token "b!" has the id .*below 1048576/, (json) => {
      vocab(json)["b!"] = id;
    });
  refused("weights", /the id 97 is given to two tokens, one of them "b!"/, (json) => {
    vocab(json)["b!"] = 97;
  });
  refused("weights", /the token "ab" has two ids/, (json) => {
    json.added_tokens = [{ id: 400, content: "ab" }];
  });
  refused("weights", /the id 257 is given to two/, (json) => {
    json.added_tokens = ["<x>", "<y>"].map((content) => ({ id: 257, content }));
  });
  for (const token of [null, {}, { content: "" }, { content: 5 }])
    refused("weights", /added token 0 has no text/, (json) => {
      json.added_tokens = [token];
    });
  refused("weights", /token 400 has 1025 bytes/, (json) => {
    vocab(json)["a".repeat(1025)] = 400;
  });
  refused("weights", /merge 0 needs the token "ba"/, (json) => {
    json.model.merges = ["b a"];
  });
  for (const merge of ["ab", "a b c", ["a"], [1, 2], 5, null, " b", ["", "b"]])
    refused("weights", /merge 0 is not a pair/, (json) => {
      json.model.merges = [merge];
    });
  refused("unsupported", /type "Unigram"/, (json) => {
    json.model.type = "Unigram";
  });
  for (const key of ["dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"])
    refused("unsupported", new RegExp(`its model has ${key}`), (json) => {
      json.model[key] = "x";
    });
  refused("unsupported", /normalizer is none of/, (json) => {
    json.normalizer = { type: "Replace", pattern: { Regex: "(a+)+$" }, content: "" };
  });
  for (const split of [
    null,
    { type: "Split" },
    { type: "ByteLevel", add_prefix_space: true },
    { type: "ByteLevel", use_regex: false },
  ])
    refused("unsupported", /pre_tokenizer is not ByteLevel alone/, (json) => {
      json.pre_tokenizer = split;
    });
  refused("unsupported", /the token "\u4e00" is not written/, (json) => {
    vocab(json)["\u4e00"] = 400;
  });
  refused("unsupported", /no token for the byte 0x00/, (json) => {
    delete vocab(json)["\u0100"];
  });
  refused("unsupported", /"<end>" has lstrip/, (json) => {
    json.added_tokens = [{ id: 257, content: "<end>", lstrip: true }];
  });
});

test("what is no JSON, too large, or without the package's class is refused", () => {
  for (const text of ["", "{", "[1]", "null", "5", file.slice(0, 1000)])
    assert.throws(() => new BpeTokenizer(text, Hf), failsAs("weights", /JSON is not|holds no object/));
  assert.throws(() => new BpeTokenizer(Uint8Array.of(0x7b, 0xff, 0x7d), Hf), failsAs("weights", /JSON is not/));
  assert.throws(() => new BpeTokenizer(new Uint8Array((1 << 25) + 1), Hf), failsAs("weights", /too large/));
  assert.throws(() => new BpeTokenizer(file, undefined as never), failsAs("input", /@huggingface\/tokenizers/));
});

test("changed anywhere, a file is refused or gives a tokenizer that survives the round trip", () => {
  const text = JSON.stringify(small());
  const bytes = Uint8Array.of(0, 0x61, 0x62, 0x20, 0xc3, 0xa9, 0xf0, 0x9f, 0x99, 0x82, 0xe2, 0x82);
  fc.assert(
    fc.property(
      fc.nat(text.length - 1),
      fc.nat(3),
      fc.string({ unit: "binary-ascii", maxLength: 2 }),
      (at, cut, put) => {
        let made: BpeTokenizer;
        try {
          made = new BpeTokenizer(text.slice(0, at) + put + text.slice(at + cut), Hf);
        } catch (error) {
          assert.instance(error, RwkvError, String(error));
          return;
        }
        assert.equal(Buffer.concat([...made.encode(bytes)].map((id) => made.bytes(id))), Buffer.from(bytes));
      },
    ),
    { numRuns: 2000 },
  );
});

test.run();
