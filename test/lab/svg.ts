/** Reads SVG as strictly as a browser does: every element closed, every attribute quoted, nothing that XML has no name for. */
import * as assert from "uvu/assert";

export interface Element {
  name: string;
  attributes: Record<string, string>;
  text: string;
}

const TOKEN = /<\?.*?\?>|<(\/?)([a-zA-Z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gsy;

/** All elements in their order; fails where the text is not well-formed. */
export function elements(svg: string): Element[] {
  const found: Element[] = [];
  const open: Element[] = [];
  TOKEN.lastIndex = 0;
  let end = 0;
  for (let match = TOKEN.exec(svg); match; match = TOKEN.exec(svg)) {
    end = TOKEN.lastIndex;
    const [, close, name, attributes, empty, text] = match;
    if (text !== undefined) {
      assert.not.match(text.replace(/&(amp|lt|gt|quot|apos|#\d+);/g, ""), /&/, `an ampersand in ${text}`);
      if (open.length > 0) open.at(-1)!.text += text;
      else assert.is(text.trim(), "", "text outside the picture");
    } else if (name && close) assert.is(open.pop()?.name, name, `what </${name}> closes`);
    else if (name) {
      const pairs = [...attributes.matchAll(/([\w:-]+)="([^"]*)"/g)].map(([, key, value]) => [key, value] as const);
      assert.is(new Set(pairs.map(([key]) => key)).size, pairs.length, `attributes of <${name}>`);
      const element = { name, attributes: Object.fromEntries(pairs), text: "" };
      found.push(element);
      if (!empty) open.push(element);
    }
  }
  assert.is(end, svg.length, `not well-formed: ${svg.slice(end, end + 80)}`);
  assert.equal(open, [], "elements left open");
  assert.is(found[0]?.name, "svg");
  return found;
}
