/**
 * Packs the World vocabulary for shipping:
 *
 *     pip download rwkv==0.8.32 --no-deps && unzip rwkv-0.8.32-py3-none-any.whl
 *     node scripts/run.mjs scripts/vocabulary.ts rwkv/rwkv_vocab_v20230424.txt weights/world.vocab
 *
 * The file is checked against the known SHA-256, and the packed form by unpacking it again.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { unpackVocabulary } from "../src/text/packed.ts";
import { parseVocabulary } from "../src/text/vocab.ts";
import { pack } from "./vocabulary/pack.ts";

const SHA256 = "8324476023347dec2964625ccb2075c864d250a9c6d9a74f36daba628de8c008";

const [input, output] = process.argv.slice(2);
if (!input || !output) throw new Error("usage: node scripts/run.mjs scripts/vocabulary.ts VOCABULARY.txt OUTPUT");
const text = readFileSync(input);
const sha256 = createHash("sha256").update(text).digest("hex");
if (sha256 !== SHA256) throw new Error(`${input} has SHA-256 ${sha256}, not ${SHA256}: not the file this was made for`);

const vocabulary = parseVocabulary(text, input);
const packed = pack(vocabulary);
const { tokens } = await unpackVocabulary(packed, output);
const same = vocabulary.tokens.every((token, id) => Buffer.compare(token, tokens[id]) === 0);
if (!same || tokens.length !== vocabulary.tokens.length) throw new Error("unpacking does not give the vocabulary back");
writeFileSync(output, packed);
console.log(`${output}: ${tokens.length} ids, ${packed.length} bytes (${text.length} as text)`);
