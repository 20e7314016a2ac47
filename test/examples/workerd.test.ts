// The example for Cloudflare's workerd: built by wrangler, from the packed package, and asked for stories.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { expected, install, npm } from "./example.ts";
import { memoryOfWorkerd, startExample } from "./workerd.ts";

const story = await expected();
/** What Workers may take. */
const MOST = 128 << 20;
/** Compressed, streams come in one piece. */
const headers = { "Accept-Encoding": "identity" };

await install("workerd");
await npm("workerd", "run", "build");
const worker = startExample();
const url = await worker.ready;
test.after(() => worker.dispose());

test("a story is streamed", async () => {
  const { body } = await fetch(url, { headers });
  const parts: string[] = [];
  for await (const part of body!.pipeThrough(new TextDecoderStream())) parts.push(part);
  assert.is(parts.join(""), story);
  assert.ok(parts.length > 5, `${parts.length} parts`);
});

test("requests meet at one model; one that goes away hurts no other", async () => {
  const { body } = await fetch(url, { headers });
  const reader = body!.getReader();
  await reader.read();
  const others = Array.from({ length: 4 }, async () => (await fetch(url, { headers })).text());
  await reader.cancel();
  assert.equal(await Promise.all(others), [story, story, story, story]);
});

test("another prompt, in any script", async () => {
  const other = new URL("/?prompt=Tom%20%F0%9F%90%B6", url);
  const text = await (await fetch(other, { headers })).text();
  assert.ok(text.length > 50 && text !== story);
});

test("within the memory that Workers have", () => {
  if (process.platform !== "linux") return console.log("Skipped: memory is measured on Linux only.");
  const bytes = memoryOfWorkerd();
  console.log(`${(bytes / (1 << 20)).toFixed(0)} MiB`);
  assert.ok(bytes > 20 << 20 && bytes < MOST, `${bytes} bytes`);
});

test.run();
