import { test } from "uvu";
import * as assert from "uvu/assert";
import { hubUrl, isHubName } from "../../src/bytes/hub.ts";
import { refused } from "../refused.ts";

const urls: [name: string, url: string][] = [
  ["hf:owner/repo/model.gguf", "https://huggingface.co/owner/repo/resolve/main/model.gguf"],
  ["HF:o.w-n_1/re.po/a/b/model.gguf", "https://huggingface.co/o.w-n_1/re.po/resolve/main/a/b/model.gguf"],
  ["hf:owner/repo/model.gguf@v1.0", "https://huggingface.co/owner/repo/resolve/v1.0/model.gguf"],
  ["hf:owner/repo/a@b.gguf@refs/pr/1", "https://huggingface.co/owner/repo/resolve/refs%2Fpr%2F1/a%40b.gguf"],
  ["hf:owner/repo/a b?#%.gguf", "https://huggingface.co/owner/repo/resolve/main/a%20b%3F%23%25.gguf"],
];

for (const [name, url] of urls)
  test(name, () => {
    assert.ok(isHubName(name));
    assert.is(hubUrl(name).href, url);
  });

test("another hub, with and without a path", () => {
  const name = "hf:owner/repo/model.gguf";
  assert.is(hubUrl(name, "http://127.0.0.1:8080").href, "http://127.0.0.1:8080/owner/repo/resolve/main/model.gguf");
  assert.is(
    hubUrl(name, new URL("https://a.example/hf/")).href,
    "https://a.example/hf/owner/repo/resolve/main/model.gguf",
  );
});

test("names of another form are refused in one sentence", async () => {
  const wrong = [
    "hf:",
    "hf:model.gguf",
    "hf:owner/repo",
    "hf:owner/repo/",
    "hf:owner/repo/@main",
    "hf:owner/repo/model.gguf@",
    "hf:owner/repo/../model.gguf",
    "hf:owner/repo/./model.gguf",
    "hf:owner/repo//model.gguf",
    "hf:owner/repo/model.gguf@../main",
    "hf:../repo/model.gguf",
    "hf:owner/../model.gguf",
    "hf:own er/repo/model.gguf",
    "hf://owner/repo/model.gguf",
    "hf:owner/repo/a\\b.gguf",
    "hf:owner/repo/a\nb.gguf",
  ];
  for (const name of wrong)
    await refused(
      (async () => hubUrl(name))(),
      "input",
      /does not name a file on the hub/,
      /hf:owner\/repo\/file@revision$/,
    );
});

test("a hub that is no web address is refused", async () => {
  for (const hub of ["huggingface.co", "ftp://a.example", ""])
    await refused((async () => hubUrl("hf:owner/repo/a.gguf", hub))(), "input", /hub must be an http or https URL/);
});

test("paths are not names on the hub", () => {
  assert.not.ok(isHubName("hf/model.gguf"));
  assert.not.ok(isHubName("./hf:model.gguf"));
});

test.run();
