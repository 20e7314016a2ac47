// The tests of the tests' runner: what it must never let pass.
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { node } from "../../scripts/program.ts";
import { judge, tally, type Verdict } from "../../scripts/test/judge.ts";

const folder = "build/runner";
mkdirSync(folder, { recursive: true });

/** Runs a program as the runner would run a test file, and judges it. */
async function verdict(name: string, program: string, limit = 60): Promise<Verdict> {
  const file = `${folder}/${name}.mjs`;
  writeFileSync(file, `import { suite, test } from "uvu"; import * as assert from "uvu/assert";\n${program}`);
  return judge(await node(file, [], limit));
}

test("counts what passed, failed and was skipped, over all suites of a file", async () => {
  const program = `
    test("a", () => {}); test("b", () => assert.ok(false)); test.skip("c"); test.run();
    const more = suite("more"); more("d", () => {}); more.run();`;
  assert.equal(await verdict("counts", program), { passed: 2, failed: 1, skipped: 1 });
});

test("a file without test.run() fails", async () => {
  const { failed, reason = "" } = await verdict("forgotten", 'test("a", () => {});');
  assert.is(failed, 1);
  assert.match(reason, "test.run()");
});

test("a file without tests fails", async () => {
  const { failed, reason = "" } = await verdict("empty", "test.run();");
  assert.is(failed, 1);
  assert.match(reason, "ran no test");
});

test("a file that only skips fails", async () => {
  assert.is((await verdict("skips", 'test.skip("a"); test.run();')).failed, 1);
});

test("a file that only skips and says why does not", async () => {
  const program = 'console.log("Skipped: that browser is not installed"); test.skip("a"); test.run();';
  assert.equal(await verdict("excused", program), { passed: 0, failed: 0, skipped: 1 });
});

test("a file whose setup throws fails, though uvu ends it with code 0", async () => {
  const program =
    'test.before(() => { throw new Error("no"); }); test("a", () => {}); test("b", () => {}); test.run();';
  assert.is((await verdict("before", program)).failed, 2);
});

test("a file that throws at its top fails", async () => {
  const { failed, reason = "" } = await verdict("throws", 'test("a", () => {}); test.run(); throw new Error("no");');
  assert.is(failed, 1);
  assert.match(reason, "no summary");
});

test("a file that exits early fails", async () => {
  assert.is((await verdict("exits", 'test("a", () => process.exit(0)); test.run();')).failed, 1);
});

test("a file that passes its tests but ends badly fails", async () => {
  const program = 'test("a", () => {}); test.run(); process.on("exit", () => { process.exitCode = 3; });';
  const { passed, failed, reason = "" } = await verdict("bad-end", program);
  assert.equal({ passed, failed }, { passed: 1, failed: 1 });
  assert.match(reason, "exit code 3");
});

test("a file that hangs is ended and fails, with the children it started", async () => {
  const program = `
    import { spawn } from "node:child_process";
    test("a", () => {}); test.run();
    // Holds this program's output open: if it were not ended too, the run would never count as over.
    spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" });
    setInterval(() => {}, 1000);`;
  const { failed, reason = "" } = await verdict("hangs", program, 2);
  assert.is(failed, 1);
  assert.match(reason, "did not end");
});

test("what a test prints does not count as a summary of more tests", async () => {
  const program = 'test("a", () => console.log("Passed: many, Total: 9")); test.run();';
  assert.equal(await verdict("prints", program), { passed: 1, failed: 0, skipped: 0 });
});

test("the closing line", () => {
  assert.is(tally({ passed: 3, failed: 0, skipped: 0 }), "3 passed, 0 failed");
  assert.is(tally({ passed: 3, failed: 1, skipped: 2 }), "3 passed, 1 failed, 2 skipped");
});

test.run();
