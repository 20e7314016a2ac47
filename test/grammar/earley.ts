/** A slow recogniser for grammars (Earley's), over characters, and how such a grammar is written in GBNF. */

export type Item =
  | { kind: "text"; text: string }
  | { kind: "set"; ranges: readonly (readonly [string, string])[]; negated: boolean }
  | { kind: "rule"; name: string }
  | { kind: "group"; choice: Choice }
  | { kind: "repeat"; item: Item; min: number; max: number };
export type Choice = readonly (readonly Item[])[];
export type Grammar = Readonly<Record<string, Choice>>;

const quoted = (character: string): string => {
  const point = character.codePointAt(0)!;
  if (/[a-z0-9]/.test(character)) return character;
  return point < 0x100 ? `\\x${point.toString(16).padStart(2, "0")}` : `\\U${point.toString(16).padStart(8, "0")}`;
};

function written(item: Item): string {
  switch (item.kind) {
    case "text":
      return `"${Array.from(item.text, quoted).join("")}"`;
    case "set":
      return `[${item.negated ? "^" : ""}${item.ranges.map(([low, high]) => (low === high ? quoted(low) : `${quoted(low)}-${quoted(high)}`)).join("")}]`;
    case "rule":
      return item.name;
    case "group":
      return `(${choice(item.choice)})`;
    case "repeat": {
      const { min, max } = item;
      const inner = item.item.kind === "repeat" ? `(${written(item.item)})` : written(item.item);
      if (max === Number.POSITIVE_INFINITY) return `${inner}${min === 0 ? "*" : min === 1 ? "+" : `{${min},}`}`;
      return `${inner}${min === 0 && max === 1 ? "?" : min === max ? `{${min}}` : `{${min},${max}}`}`;
    }
  }
}

const choice = (parts: Choice): string => parts.map((items) => items.map(written).join(" ") || '""').join(" | ");

export const toGbnf = (grammar: Grammar): string =>
  Object.entries(grammar)
    .map(([name, parts]) => `${name} ::= ${choice(parts)}\n`)
    .join("");

/** A symbol is a rule, by its number, or a test of a character. */
type Symbol = number | ((character: string) => boolean);

interface Plain {
  /** The right-hand sides of each rule. */
  readonly rules: Symbol[][][];
  readonly root: number;
}

/** Groups and repetitions become rules; what can never end is left out. */
function plain(grammar: Grammar): Plain {
  const rules: Symbol[][][] = [];
  const numbers = new Map(Object.keys(grammar).map((name) => [name, rules.push([]) - 1]));
  const symbols = (item: Item): Symbol[] => {
    switch (item.kind) {
      case "text":
        return Array.from(item.text, (wanted) => (character: string) => character === wanted);
      case "set":
        return [
          (character) =>
            item.ranges.some(
              ([low, high]) =>
                low.codePointAt(0)! <= character.codePointAt(0)! && character.codePointAt(0)! <= high.codePointAt(0)!,
            ) !== item.negated,
        ];
      case "rule":
        return [numbers.get(item.name)!];
      case "group": {
        const rule = rules.push([]) - 1;
        rules[rule] = item.choice.map((items) => items.flatMap(symbols));
        return [rule];
      }
      case "repeat": {
        const one = symbols(item.item);
        const rest = rules.push([]) - 1;
        if (item.max === Number.POSITIVE_INFINITY) rules[rest] = [[], [...one, rest]];
        else rules[rest] = Array.from({ length: item.max - item.min + 1 }, (_, times) => Array(times).fill(one).flat());
        return [...Array(item.min).fill(one).flat(), rest];
      }
    }
  };
  for (const [name, parts] of Object.entries(grammar))
    rules[numbers.get(name)!] = parts.map((items) => items.flatMap(symbols));
  const ends = new Set<number>();
  for (let before = -1; before !== ends.size; ) {
    before = ends.size;
    for (const [rule, sides] of rules.entries())
      if (sides.some((side) => side.every((symbol) => typeof symbol !== "number" || ends.has(symbol)))) ends.add(rule);
  }
  const kept = rules.map((sides) =>
    sides.filter((side) => side.every((symbol) => typeof symbol !== "number" || ends.has(symbol))),
  );
  return { rules: kept, root: numbers.get("root")! };
}

/** Whether any text at all follows the grammar. */
export const possible = (grammar: Grammar): boolean => {
  const { rules, root } = plain(grammar);
  return rules[root].length > 0;
};

/** Whether a text follows the grammar, and whether a longer one may. Sets that are empty are taken for sets that are not. */
export function recognise(grammar: Grammar): (text: string) => { whole: boolean; prefix: boolean } {
  const { rules, root } = plain(grammar);
  type Place = { rule: number; side: Symbol[]; at: number; from: number };
  return (text) => {
    const sets: Place[][] = [];
    const known: Set<string>[] = [];
    const ids = new Map<Symbol[], number>();
    const add = (at: number, place: Place): boolean => {
      sets[at] ??= [];
      known[at] ??= new Set();
      if (!ids.has(place.side)) ids.set(place.side, ids.size);
      const key = `${place.rule} ${ids.get(place.side)} ${place.at} ${place.from}`;
      if (known[at].has(key)) return false;
      known[at].add(key);
      sets[at].push(place);
      return true;
    };
    for (const side of rules[root]) add(0, { rule: root, side, at: 0, from: 0 });
    const characters = Array.from(text);
    for (let i = 0; i <= characters.length; i++) {
      if (!sets[i]) return { whole: false, prefix: false };
      // Again and again, since a rule may be empty.
      for (let changed = true; changed; ) {
        changed = false;
        for (const place of [...sets[i]]) {
          const symbol = place.side[place.at];
          if (symbol === undefined) {
            for (const caller of [...sets[place.from]])
              if (caller.side[caller.at] === place.rule && add(i, { ...caller, at: caller.at + 1 })) changed = true;
          } else if (typeof symbol === "number") {
            for (const side of rules[symbol]) if (add(i, { rule: symbol, side, at: 0, from: i })) changed = true;
          } else if (i < characters.length && symbol(characters[i])) add(i + 1, { ...place, at: place.at + 1 });
        }
      }
    }
    const last = sets[characters.length];
    const whole = last.some(({ rule, side, at, from }) => rule === root && at === side.length && from === 0);
    return { whole, prefix: last.length > 0 };
  };
}
