// A program that uses the package ends by itself when it has nothing left to do, and not before.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run } from "../../scripts/program.ts";

/** Seconds for one program; generous, it only ends what hangs. */
const LIMIT = 300;

const LOAD = `import { load } from "rwkv-wasm";
  const model = await load("test/fixtures/v7.f32.gguf", { threads: THREADS });`;

const PROGRAMS: [name: string, program: string, printed: string][] = [
  ["loads and does nothing", "console.log('loaded');", "loaded\n"],
  [
    "generates and never closes",
    "console.log((await model.generate('a', { maxTokens: 5, stopTokens: [] }).result).tokens);",
    "5\n",
  ],
  [
    "starts a generation that nobody waits for",
    `model.generate("a", { maxTokens: 2000, stopTokens: [] }).result.then(({ tokens }) => console.log(tokens));`,
    "2000\n",
  ],
  [
    "leaves sessions open",
    "const session = model.session(); await session.feed('a'); session.fork(); console.log(session.position);",
    "2\n",
  ],
  [
    "closes while it generates",
    `const { result } = model.generate("a", { maxTokens: 2 ** 31 - 1, stopTokens: [] });
     result.catch((error) => console.log(error.code));
     setTimeout(() => model.close(), 50);`,
    "closed\n",
  ],
  [
    "starts an endless generation that nobody reads",
    "model.generate('a', { maxTokens: 2 ** 31 - 1, stopTokens: [] }); console.log('started');",
    "started\n",
  ],
  [
    "reads some of an endless generation and forgets it",
    `const parts = model.generate("a", { maxTokens: 2 ** 31 - 1, stopTokens: [] })[Symbol.asyncIterator]();
     for (let i = 0; i < 200; i++) await parts.next();
     console.log("read");`,
    "read\n",
  ],
  [
    "reads slower than a window of tokens",
    `let count = 0;
     for await (const part of model.generate("a", { maxTokens: 300, stopTokens: [] })) {
       if (count++ % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
     }
     console.log(count);`,
    "300\n",
  ],
  [
    "leaves an endless generation",
    `let count = 0;
     for await (const part of model.generate("a", { maxTokens: 2 ** 31 - 1, stopTokens: [] })) if (++count === 20) break;
     console.log(count);`,
    "20\n",
  ],
];

for (const threads of [0, 1, 2])
  for (const [name, program, printed] of PROGRAMS)
    test(`${threads} threads: a program that ${name} ends`, async () => {
      const source = `${LOAD.replace("THREADS", String(threads))}\n${program}`;
      const { output, code, timedOut } = await run(process.execPath, ["--input-type=module", "--eval", source], LIMIT);
      assert.not(timedOut, "it did not end");
      assert.is(output, printed);
      assert.is(code, 0);
    });

test("a load that fails leaves nothing that would keep the process", async () => {
  const source = `import { load } from "rwkv-wasm";
    for (const path of ["no/such/file", "package.json"]) await load(path).catch((error) => console.log(error.code));`;
  const { output, code, timedOut } = await run(process.execPath, ["--input-type=module", "--eval", source], LIMIT);
  assert.not(timedOut, "it did not end");
  assert.is(output, "input\nweights\n");
  assert.is(code, 0);
});

test("models that are closed give their memory back, without anybody asking for it", async () => {
  const source = `import { load } from "rwkv-wasm";
    for (let i = 0; i < 30; i++) {
      const model = await load("weights/stories-7m.q8_0.gguf", { threads: 2, weights: "f32" });
      await model.close();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    console.log(process.memoryUsage.rss() >> 20);`;
  const { output, code } = await run(process.execPath, ["--input-type=module", "--eval", source], LIMIT);
  assert.is(code, 0, output);
  // 30 models of 50 MiB and more would be 1,500.
  assert.ok(Number(output) < 600, `${output.trim()} MiB`);
});

test.run();
