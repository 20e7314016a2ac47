/** The picture of `rwkv lab scaling`: time in all for reading and writing, time for one token more, memory. */

import { type Line, lineCharts } from "./chart.ts";
import { machineText } from "./machine.ts";
import type { Report } from "./scaling.ts";

export function chartOf({ curves, ...setting }: Report): string {
  const of = (phase: string, points: (curve: Report["curves"][number]) => (readonly [number, number])[]): Line[] =>
    curves.filter((curve) => curve.phase === phase).map((curve) => ({ name: curve.model, points: points(curve) }));
  const x = { name: "tokens", log: true };
  const y = (name: string) => ({ name, log: true });
  const { layers, width, weights, threads, machine } = setting;
  return lineCharts(
    [
      {
        title: "Reading a text",
        x,
        y: y("seconds in all"),
        lines: of("prefill", ({ marks }) => marks.map(({ tokens, seconds }) => [tokens, seconds])),
      },
      {
        title: "Writing a text",
        x,
        y: y("seconds in all"),
        lines: of("decode", ({ marks }) => marks.map(({ tokens, seconds }) => [tokens, seconds])),
      },
      {
        title: "Writing one token more",
        x,
        y: y("microseconds"),
        lines: of("decode", ({ marks }) => marks.map(({ tokens, perToken }) => [tokens, perToken * 1e6])),
      },
      {
        title: "What the text takes",
        x,
        y: y("MiB"),
        lines: of("prefill", ({ marks, contextBytes, perTokenBytes }) =>
          marks.map(({ tokens }) => [tokens, (contextBytes + tokens * perTokenBytes) / 2 ** 20]),
        ),
      },
    ],
    {
      title: "Linear against quadratic",
      note: `${layers} layers of width ${width}, ${weights}, ${threads} threads; ${machineText(machine)}`,
      across: 2,
    },
  );
}
