// The pictures of the experiments: well-formed, named, with what was to be shown, and readable on a dark page.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { heatMaps, lineCharts } from "../../src/lab/chart.ts";
import { elements } from "./svg.ts";

const lines = [
  {
    title: "Prefill <1> & more",
    x: { name: "tokens", log: true },
    y: { name: "seconds", log: true },
    lines: [
      {
        name: "RWKV-7",
        points: [
          [10, 0.01],
          [100, 0.1],
          [1e6, 1000],
        ] as const,
      },
      {
        name: "fit",
        dashed: true,
        points: [
          [0, 5],
          [10, 0.02],
          [1000, 3],
        ] as const,
      },
    ],
  },
];
const heat = {
  title: "head 0",
  rows: ["a", "b"],
  columns: ["x", "y", "z"],
  values: [
    [0, 0.5, 1],
    [Number.NaN, 0.25, 0],
  ],
};

test("curves: names, axes and a mark for every point that the axes can show", () => {
  const all = elements(lineCharts(lines, { title: "Two < three", note: "a note" }));
  const texts = all.filter(({ name }) => name === "text").map(({ text }) => text);
  assert.is(all.find(({ name }) => name === "title")!.text, "Two &lt; three");
  for (const text of ["Two &lt; three", "a note", "Prefill &lt;1&gt; &amp; more", "tokens", "seconds", "RWKV-7", "fit"])
    assert.ok(texts.includes(text), text);
  for (const text of ["10", "1 M", "0.01", "1000"]) assert.ok(texts.includes(text), `a label ${text}`);
  const curves = all.filter(({ attributes }) => attributes.d && attributes["stroke-linejoin"] === "bevel");
  // What a logarithm has none of is left out.
  assert.equal(
    curves.map(({ attributes }) => attributes.d.match(/[ML]/g)!.length),
    [3, 2],
  );
  assert.is(new Set(curves.map(({ attributes }) => attributes.stroke)).size, 2);
  assert.ok(curves[1].attributes["stroke-dasharray"]);
});

test("heat: a cell for every number, and one scale for all panels", () => {
  const svg = heatMaps([heat, { ...heat, title: "head 1", values: [[2]] }], {
    title: "Heat",
    rowName: "to",
    across: 1,
  });
  const all = elements(svg);
  const texts = all.filter(({ name }) => name === "text").map(({ text }) => text);
  for (const text of ["head 0", "head 1", "to", "a", "z"]) assert.ok(texts.includes(text), text);
  const colors = all.map(({ attributes }) => attributes.fill).filter((fill) => /^rgb\(\d+,\d+,\d+\)$/.test(fill ?? ""));
  assert.is(colors.length, 6);
  const cold = colors.filter((color) => color === colors[0]);
  assert.is(cold.length, 2, "equal numbers have equal colours");
});

test("words and lines have colours for dark pages, and nothing answers to a mouse", () => {
  const svg = lineCharts(lines, { title: "Dark" });
  const style = elements(svg).find(({ name }) => name === "style")!.text;
  assert.match(style, /prefers-color-scheme:dark/);
  const inks = new Set(
    elements(svg)
      .filter(({ name }) => name === "text")
      .map(({ attributes }) => attributes.fill),
  );
  for (const ink of inks) assert.ok(style.includes(`[fill="${ink}"]`), ink);
  assert.not.match(svg, /:hover|CDATA|ecmeta|class=/);
  assert.not.match(svg, /<image|href|script/);
});

test("the same figures give the same picture", () => {
  assert.is(lineCharts(lines, { title: "Same" }).length, lineCharts(lines, { title: "Same" }).length);
});

test.run();
