"""Writes test/fixtures/world.json: what the official tokenizer (package rwkv, module rwkv_tokenizer) makes of these texts.

    pip download rwkv==0.8.32 --no-deps && unzip rwkv-0.8.32-py3-none-any.whl
    python3 scripts/vocabulary/fixtures.py rwkv test/fixtures/world.json

The argument is the folder that holds rwkv_tokenizer.py and rwkv_vocab_v20230424.txt.
"""

import hashlib
import json
import sys

folder, output = sys.argv[1:]
sys.path.insert(0, folder)
from rwkv_tokenizer import TRIE_TOKENIZER  # noqa: E402

TEXTS = [
    "",
    "a",
    " ",
    "\n",
    "\0",
    "Once upon a time",
    "User: Where does rain come from?\n\nAssistant:",
    "The quick brown fox jumps over the lazy dog.",
    "It's 3 o'clock; they'd've left, wouldn't they?",
    "don\u2019t \u201cquote\u201d me \u2014 please\u2026",
    "UPPER lower CamelCase snake_case kebab-case SCREAMING_SNAKE",
    "antidisestablishmentarianism floccinaucinihilipilification",
    "0 1 12 123 1234 12345 3.14159 -2.5e-10 0xdeadbeef 1,000,000",
    "2024-02-29T23:59:60Z",
    "  two leading, two trailing  ",
    "a\tb\t\tc\t\t\td",
    "\n\n\n\n\n\n",
    "\r\n\r\nline\r\n",
    " " * 7,
    " " * 127,
    " " * 128,
    " " * 129,
    " " * 300,
    "\t" * 33,
    "#" * 81 + "-" * 161 + "=" * 50,
    "a" * 40,
    "function add(a, b) {\n  return a + b; // sum\n}\n",
    "def f(x: int) -> int:\n    \"\"\"Square.\"\"\"\n    return x ** 2\n",
    "#include <stdio.h>\nint main(void) {\n\tprintf(\"%d\\n\", 42);\n}\n",
    "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY name;",
    "<div class=\"box\" data-id='7'>&amp;&nbsp;</div>",
    "{\"a\": [1, 2, {\"b\": null}], \"c\": \"\\u00e9\"}",
    "https://example.org/path/to?query=1&other=two#part",
    "f(x) = \\frac{1}{\\sqrt{2\\pi}} e^{-x^2/2}",
    "$ grep -rn 'needle' . | sort -u > out.txt 2>&1",
    "Der Fluss überschwemmt die Straße; größer wäre schöner.",
    "L'été, à l'ombre, où naît l'œuvre ? « Ça va ! »",
    "El niño comió una piña; ¿qué más?",
    "Não há razão para preocupação.",
    "Zażółć gęślą jaźń",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Мы читаем книгу у реки, пока идёт дождь.",
    "Η γάτα κοιμάται στον ήλιο.",
    "הילדים משחקים בגינה.",
    "يلعب الأطفال في الحديقة.",
    "बच्चे बगीचे में खेलते हैं।",
    "เด็กๆ เล่นอยู่ในสวน",
    "Trẻ em chơi trong vườn.",
    "孩子们在花园里玩耍，天空很蓝。",
    "我們在圖書館讀書。「你好嗎？」",
    "子どもたちは庭で遊んでいます。カタカナもあります。",
    "아이들이 정원에서 놀고 있어요.",
    "ლამაზი ბაღი, գեղեցիկ այգի, ཨོཾ",
    "\U0001f642\U0001f680\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea\U0001f44d\U0001f3fd",
    "mixed \u6df7\u5408 смесь \U0001f9ea mix",
    "e\u0301 \u00e9 \ufb01 \u212b \u1e9b\u0323",
    "\ufeffafter a byte order mark",
    "zero\u200bwidth\u00a0space\u3000and\u2028line\u2029ends",
    "\U0001d504\U0001d52b\U0001d530 \U00020000\U0002a6d6 \U0010ffff \ue000 \ufffd",
    "\u0001\u001b[31mred\u001b[0m\u007f\u0080\u009f",
    "<s></s><|endoftext|>[INST]<unk>",
]

tokenizer = TRIE_TOKENIZER(f"{folder}/rwkv_vocab_v20230424.txt")
digest = hashlib.sha256()
for index in range(1, len(tokenizer.idx2token) + 1):
    token = tokenizer.idx2token[index]
    digest.update(bytes([len(token)]) + token)

cases = [{"text": text, "ids": tokenizer.encode(text)} for text in TEXTS]
with open(output, "w", encoding="utf-8") as file:
    file.write('{\n"from": "rwkv 0.8.32, rwkv_tokenizer.TRIE_TOKENIZER, rwkv_vocab_v20230424.txt",\n')
    file.write(f'"tokens": {len(tokenizer.idx2token)},\n')
    file.write(f'"sha256": "{digest.hexdigest()}",\n"cases": [\n')
    file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
    file.write("\n]}\n")
