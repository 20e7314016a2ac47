/**
 * Pictures of what the experiments find, as SVG: curves and heat maps, drawn by Apache ECharts without a browser. They have no background
 * of their own; words and lines take the colours of a dark page where the reader prefers one.
 */

import { HeatmapChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent, VisualMapComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([LineChart, HeatmapChart, GridComponent, LegendComponent, TitleComponent, VisualMapComponent, SVGRenderer]);

/** Of words, of words that matter less, of lines: on a light page, and on a dark one. */
const INK = ["#1f2328", "#f0f6fc"] as const;
const FAINT = ["#59636e", "#9198a1"] as const;
const RULE = ["#d1d9e0", "#3d444d"] as const;
/** Curves: at least 3 : 1 to white and to #0d1117; told apart with any kind of colour vision by their order of lightness and by their marks. */
const COLORS = ["#d1495b", "#2e86ab", "#3a7d44", "#b5651d", "#8e63ce", "#6b7280"];
const MARKS = ["circle", "rect", "triangle", "diamond", "roundRect", "circle"];
/** Heat, from little to much: what a value of the lowest looks like must be seen on both pages. */
const HEAT = ["#30336b", "#4b5fa8", "#3f9fa8", "#7cc47f", "#f4d35e", "#f26b38"];
const FONT = "ui-sans-serif, system-ui, sans-serif";

export interface Axis {
  name: string;
  /** Decades at the same distance; what is not above 0 is left out. */
  log?: boolean;
  min?: number;
  max?: number;
}

export interface Line {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
  /** Of what was computed and not measured. */
  dashed?: boolean;
}

export interface LinePanel {
  title: string;
  x: Axis;
  y: Axis;
  /** Lines of one name have one colour in all panels. */
  lines: readonly Line[];
}

export interface HeatPanel {
  title: string;
  /** One word for each row, from the top, and each column; `values[row][column]`, NaN for what there is not. */
  rows: readonly string[];
  columns: readonly string[];
  values: readonly (readonly number[])[];
}

export interface Picture {
  title: string;
  /** A line below the title. */
  note?: string;
  /** How many panels stand side by side. Default: all. */
  across?: number;
  /** Pixels of one panel. */
  width?: number;
  height?: number;
}

export interface Heat extends Picture {
  /** What the colours go from and to. Default: the smallest and the largest value. */
  low?: number;
  high?: number;
  /** No word is left out, and those of the columns stand upright; default: as many as there is room for. */
  everyWord?: boolean;
  /** Names on the axes. */
  rowName?: string;
  columnName?: string;
}

/** Curves, in one or several panels. */
export function lineCharts(panels: readonly LinePanel[], picture: Picture): string {
  const { places, width, height } = layout(panels.length, { width: 520, height: 340, ...picture });
  const names = [...new Set(panels.flatMap(({ lines }) => lines.map(({ name }) => name)))];
  const color = (name: string) => COLORS[names.indexOf(name) % COLORS.length]!;
  const axis = ({ name, log, min, max }: Axis, upright: boolean) => ({
    type: log ? ("log" as const) : ("value" as const),
    name,
    ...(!log && min === undefined && { scale: true }),
    min: min ?? (log ? decade(Math.floor) : undefined),
    max: max ?? (log ? decade(Math.ceil) : undefined),
    nameLocation: "middle" as const,
    nameGap: upright ? 46 : 26,
    nameTextStyle: { color: FAINT[0], fontFamily: FONT },
    axisLabel: { color: FAINT[0], fontFamily: FONT, formatter: short },
    axisLine: { show: true, lineStyle: { color: FAINT[0] } },
    splitLine: { lineStyle: { color: RULE[0] } },
  });
  const seen = (panel: LinePanel, line: Line) =>
    line.points.filter(([x, y]) => (!panel.x.log || x > 0) && (!panel.y.log || y > 0));
  return draw(width, height, picture.title, {
    title: titles(panels, places, picture),
    legend: {
      data: names.map((name) => ({ name, itemStyle: { color: color(name) } })),
      bottom: 4,
      textStyle: { color: INK[0], fontFamily: FONT },
      itemWidth: 22,
    },
    grid: places,
    xAxis: panels.map(({ x }, gridIndex) => ({ ...axis(x, false), gridIndex })),
    yAxis: panels.map(({ y }, gridIndex) => ({ ...axis(y, true), gridIndex })),
    series: panels.flatMap((panel, i) =>
      panel.lines.map((line) => ({
        type: "line" as const,
        name: line.name,
        xAxisIndex: i,
        yAxisIndex: i,
        data: seen(panel, line).map((point) => [...point]),
        color: color(line.name),
        symbol: line.dashed ? "none" : MARKS[names.indexOf(line.name) % MARKS.length],
        symbolSize: 6,
        showAllSymbol: true as const,
        lineStyle: { width: 2, type: line.dashed ? ("dashed" as const) : ("solid" as const) },
        silent: true,
      })),
    ),
  });
}

/** Numbers as colours, in one or several panels that share one scale. */
export function heatMaps(panels: readonly HeatPanel[], picture: Heat): string {
  const { places, width, height } = layout(panels.length, { width: 380, height: 340, ...picture });
  const values = panels.flatMap(({ values }) => values.flat()).filter(Number.isFinite);
  const bound = (given: number | undefined, pick: (a: number, b: number) => number) =>
    given ?? values.reduce((a, b) => pick(a, b), values[0] ?? 0);
  const axis = (data: readonly string[], name: string | undefined, upright: boolean) => ({
    type: "category" as const,
    data: [...data],
    name: name ?? "",
    inverse: upright,
    nameLocation: "middle" as const,
    nameGap: upright ? 46 : 26,
    nameTextStyle: { color: FAINT[0], fontFamily: FONT },
    axisLabel: {
      color: FAINT[0],
      fontFamily: FONT,
      ...(picture.everyWord && { interval: 0, rotate: upright ? 0 : 90, fontSize: 11 }),
    },
    axisLine: { lineStyle: { color: FAINT[0] } },
    splitArea: { show: false },
  });
  return draw(width, height, picture.title, {
    title: titles(panels, places, picture),
    grid: places,
    visualMap: {
      type: "continuous",
      min: bound(picture.low, Math.min),
      max: bound(picture.high, Math.max),
      inRange: { color: HEAT },
      orient: "horizontal",
      left: "center",
      bottom: 4,
      itemWidth: 12,
      itemHeight: 160,
      text: [short(bound(picture.high, Math.max)), short(bound(picture.low, Math.min))],
      textStyle: { color: FAINT[0], fontFamily: FONT },
      calculable: false,
    },
    xAxis: panels.map((panel, gridIndex) => ({ ...axis(panel.columns, picture.columnName, false), gridIndex })),
    yAxis: panels.map((panel, gridIndex) => ({ ...axis(panel.rows, picture.rowName, true), gridIndex })),
    series: panels.map((panel, i) => ({
      type: "heatmap" as const,
      xAxisIndex: i,
      yAxisIndex: i,
      data: panel.values.flatMap((row, y) =>
        row.flatMap((value, x) => (Number.isFinite(value) ? [[x, y, value]] : [])),
      ),
      silent: true,
    })),
  });
}

interface Place {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Pixels around a panel: its axis to the left, its title above, its axis below. */
const AROUND = { left: 74, top: 34, right: 18, bottom: 48 };
/** Above all panels, for the title, and below them, for the legend. */
const [ABOVE, BELOW] = [30, 34];

function layout(count: number, { across = count, width, height, note }: Picture & { width: number; height: number }) {
  const above = ABOVE + (note ? 20 : 0);
  const places = Array.from({ length: count }, (_, i): Place => {
    const [row, column] = [Math.floor(i / across), i % across];
    return {
      left: column * width + AROUND.left,
      top: above + row * height + AROUND.top,
      width: width - AROUND.left - AROUND.right,
      height: height - AROUND.top - AROUND.bottom,
    };
  });
  const rows = Math.ceil(count / across);
  return { places, width: width * Math.min(count, across), height: above + rows * height + BELOW };
}

function titles(panels: readonly { title: string }[], places: readonly Place[], { title, note }: Picture) {
  const style = (fontSize: number, [color]: readonly string[], fontWeight: "normal" | "bold") => ({
    color,
    fontSize,
    fontWeight,
    fontFamily: FONT,
  });
  return [
    { text: title, subtext: note ?? "", left: 16, top: 8, itemGap: 6 },
    ...panels.map((panel, i) => ({ text: panel.title, left: places[i]!.left, top: places[i]!.top - 26, padding: 0 })),
  ].map((one, i) => ({
    ...one,
    textStyle: i === 0 ? style(17, INK, "bold") : style(13, INK, "normal"),
    subtextStyle: style(12, FAINT, "normal"),
  }));
}

/** The whole decade below or above what an axis has to show. */
const decade = (to: (x: number) => number) => (extent: { min: number; max: number }) =>
  10 ** to(Math.log10(to === Math.floor ? extent.min : extent.max) + (to === Math.floor ? 1e-9 : -1e-9));

/** A number on an axis: 0.001, 10, 10 k, 1 M. */
function short(x: number): string {
  const size = Math.abs(x);
  if (size >= 1e9) return `${Number((x / 1e9).toPrecision(3))} G`;
  if (size >= 1e6) return `${Number((x / 1e6).toPrecision(3))} M`;
  if (size >= 1e4) return `${Number((x / 1e3).toPrecision(3))} k`;
  return String(Number(x.toPrecision(3)));
}

function draw(width: number, height: number, title: string, option: object): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  chart.setOption({ animation: false, ...option });
  const drawn = chart.renderToSVGString();
  chart.dispose();
  return finished(drawn, title);
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** A name for those who hear it, a dark page's colours, and nothing that only a mouse would find. */
function finished(svg: string, title: string): string {
  const dark = [INK, FAINT, RULE]
    .map(([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`)
    .join("");
  const begin = `<title>${escaped(title)}</title>\n<style>@media (prefers-color-scheme:dark){${dark}}</style>\n`;
  return `${svg
    .replace(/<style ?><!\[CDATA\[.*?\]\]>\s*<\/style>\s*/s, "")
    .replace(/<path [^>]*fill-opacity="0"[^>]*><\/path>\n/g, "")
    .replace(/ (class|ecmeta_\w+)="[^"]*"/g, "")
    .replace(/^<svg ([^>]*)>/, (_, attributes) => `<svg role="img" ${attributes}>\n${begin}`)
    .trimEnd()}\n`;
}
