// `rwkv lab` and `rwkv lab scaling`, as a user runs them, with sizes that take a moment.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { marksTo } from "../../src/lab/along.ts";
import { rwkv } from "../cli/rwkv.ts";
import { elements } from "./svg.ts";

const folder = "build/lab/scaling";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const SMALL = ["lab", "scaling", "--layers", "1", "--width", "64", "--max-tokens", "100", "--budget", "5"];
const MODELS = ["RWKV-4", "RWKV-5", "RWKV-6", "RWKV-7", "Transformer"];

test("the help of the group names the experiments, the help of an experiment its options", async () => {
  const group = await rwkv(["lab", "--help"]);
  assert.is(group.code, 0);
  for (const name of ["scaling", "sizes"]) assert.match(group.stdout, new RegExp(`^ *${name} {2}`, "m"));
  assert.equal(await rwkv(["lab"]), group);
  const own = await rwkv(["lab", "scaling", "--help"]);
  for (const option of ["--models", "--max-tokens", "--budget", "--json", "--svg", "--with"])
    assert.ok(own.stdout.includes(option), option);
  assert.match(own.stdout, /rwkv lab scaling \[OPTIONS\]/);
});

test("a table, figures and a picture of all models; another run goes on from there", async () => {
  const json = `${folder}/all.json`;
  const svg = `${folder}/all.svg`;
  const { code, stdout, stderr } = await rwkv([...SMALL, "--json", json, "--svg", svg]);
  assert.is(code, 0, stderr);
  const report = JSON.parse(readFileSync(json, "utf8"));
  assert.equal(
    report.curves.map(({ model, phase }: { model: string; phase: string }) => `${model} ${phase}`),
    MODELS.flatMap((model) => [`${model} prefill`, `${model} decode`]),
  );
  for (const { model, marks, leftOut, contextBytes, perTokenBytes } of report.curves) {
    assert.equal([...marks.map(({ tokens }: { tokens: number }) => tokens), ...leftOut], marksTo(100));
    for (const mark of marks) assert.ok(mark.seconds > 0 && mark.perToken > 0 && mark.runs >= 3);
    // A state is the same whatever the text; keys and values are 64 channels of 4 bytes each, in one layer.
    assert.is(perTokenBytes, model === "Transformer" ? 64 * 4 * 2 : 0);
    assert.is(contextBytes > 0, model !== "Transformer");
  }
  assert.is(report.crossings.length, 8);
  for (const model of MODELS) assert.match(stdout, new RegExp(`^${model} +\\d`, "m"));
  assert.match(stdout, /^prefill: the Transformer .* RWKV-7/m);

  const texts = elements(readFileSync(svg, "utf8")).filter(({ name }) => name === "text");
  for (const model of MODELS)
    assert.ok(
      texts.some(({ text }) => text === model),
      model,
    );

  const more = await rwkv([...SMALL, "--models", "6", "--with", json, "--json", `${folder}/more.json`]);
  assert.is(more.code, 0, more.stderr);
  const joined = JSON.parse(readFileSync(`${folder}/more.json`, "utf8"));
  const marksOf = (curves: { model: string; marks: unknown }[], model: string) =>
    curves.filter((curve) => curve.model === model).map(({ marks }) => marks);
  assert.equal(marksOf(joined.curves, "RWKV-7"), marksOf(report.curves, "RWKV-7"));
  assert.not.equal(marksOf(joined.curves, "RWKV-6"), marksOf(report.curves, "RWKV-6"));

  const wider = await rwkv([...SMALL, "--width", "128", "--models", "7", "--with", json]);
  assert.is(wider.code, 1);
  assert.match(wider.stderr, /^rwkv: what --with gives was measured with width 64, this with 128\n$/);

  const elsewhere = { ...report, machine: { ...report.machine, cpu: "Z80" } };
  writeFileSync(`${folder}/elsewhere.json`, JSON.stringify(elsewhere));
  const there = await rwkv([...SMALL, "--models", "7", "--with", `${folder}/elsewhere.json`]);
  assert.is(there.code, 1);
  assert.match(there.stderr, /^rwkv: what --with gives was measured with processor Z80, this with .+\n$/);
});

test("what there is no time for is left out, and said", async () => {
  const { code, stdout } = await rwkv([
    ...SMALL,
    "--models",
    "transformer",
    "--max-tokens",
    "5000000",
    "--budget",
    "1",
  ]);
  assert.is(code, 0);
  assert.match(stdout, /^left out: Transformer, prefill, from \d+,\d+/m);
});

test("a command line that makes no sense is told before anything is measured", async () => {
  writeFileSync(`${folder}/other.json`, '{"experiment":"sizes","rows":[]}');
  writeFileSync(`${folder}/broken.json`, '{"experiment":"scaling","curves":[{"model":"RWKV-7"}]}');
  for (const [words, said] of [
    [["lab", "scalling"], /unknown command "scalling"; see rwkv lab --help/],
    [["lab", "--fast"], /unknown option --fast; see rwkv lab --help/],
    [["lab", "scaling", "now"], /"now" is one word too many; see rwkv lab scaling --help/],
    [["lab", "scaling", "--models", "7,8"], /--models must be some of 4, 5, 6, 7, transformer, not "8"/],
    [["lab", "scaling", "--phases", "training"], /--phases must be some of prefill, decode, not "training"/],
    [["lab", "scaling", "--width", "96"], /--width must be a multiple of 64, not 96/],
    [["lab", "scaling", "--max-tokens", "1e9"], /--max-tokens must be an integer from 100 to 10000000, not "1e9"/],
    [["lab", "scaling", "--budget", "0"], /--budget must be a number from 1 to 86400, not "0"/],
    [["lab", "scaling", "--threads", "0"], /--threads must be auto or an integer from 1 to 64, not 0/],
    [["lab", "scaling", "--weights", "q1_0"], /--weights must be one of f32, .*, not "q1_0"/],
    [["lab", "scaling", "--json", `${folder}/none/x.json`], /cannot write a file in .*none: there is no such folder/],
    [["lab", "scaling", "--with", `${folder}/none.json`], /none\.json cannot be read: there is no such file/],
    [
      ["lab", "scaling", "--with", `${folder}/other.json`],
      /other\.json is not what rwkv lab scaling writes with --json/,
    ],
    [["lab", "scaling", "--with", `${folder}/broken.json`], /broken\.json is not what rwkv lab scaling writes/],
  ] as const) {
    const { code, stdout, stderr } = await rwkv([...words]);
    assert.is(code, 1, words.join(" "));
    assert.is(stdout, "");
    assert.match(stderr, said);
    assert.is(stderr.trim().split("\n").length, 1, stderr);
  }
});

test("the experiments are the command line's alone: nothing else of the package imports them", () => {
  for (const file of ["index.js", "web.js", "workerd.js", "inline.js"])
    assert.not.match(readFileSync(`dist/${file}`, "utf8"), /lab\.js|echarts/);
  assert.ok(existsSync("dist/licenses.txt"));
  for (const name of ["echarts", "zrender", "citty"])
    assert.match(readFileSync("dist/licenses.txt", "utf8"), new RegExp(`^${name} \\d`, "m"));
});

test.run();
