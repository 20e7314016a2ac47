// Stop strings and parts against slow references: the whole text searched at once, and decoded at once.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PartStream } from "../../src/text/parts.ts";
import { StopFinder } from "../../src/text/stops.ts";
import { runs } from "../runs.ts";

const decode = (bytes: readonly number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));

/** Where the first stop string to be complete begins, and which it is: of those that end there the longest. */
function search(bytes: readonly number[], stops: readonly (readonly number[])[]) {
  for (let end = 1; end <= bytes.length; end++) {
    const complete = stops
      .map((stop, i) => ({ stop: i, at: end - stop.length }))
      .filter(({ stop, at }) => at >= 0 && stops[stop].every((byte, i) => bytes[at + i] === byte));
    if (complete.length > 0) return complete.reduce((a, b) => (b.at < a.at ? b : a));
  }
  return undefined;
}

/** Few different bytes, so that much matches; 0xc3 0xa4 is a character. */
const byte = fc.constantFrom(97, 98, 0xc3, 0xa4);
const tokens = fc.array(fc.array(byte, { maxLength: 4 }), { maxLength: 30 });
const stops = fc.array(fc.array(byte, { minLength: 1, maxLength: 6 }), { maxLength: 4 });

test("stop strings are found wherever the pieces' borders are", () => {
  fc.assert(
    fc.property(tokens, stops, (pieces, strings) => {
      const finder = new StopFinder(strings.map((stop) => Uint8Array.from(stop)));
      const right = search(pieces.flat(), strings);
      const seen: number[] = [];
      for (const piece of pieces) {
        const found = finder.push(Uint8Array.from(piece));
        seen.push(...piece);
        if (found) {
          assert.equal(found, right);
          return;
        }
        // What is certain is no beginning of a stop string, and what is not is the longest that could be one.
        const open = strings.flatMap((stop) =>
          stop
            .map((_, n) => n)
            .filter((n) => n > 0 && n <= seen.length && `${seen.slice(-n)}` === `${stop.slice(0, n)}`),
        );
        assert.is(finder.certain, seen.length - Math.max(0, ...open));
      }
      assert.is(right, undefined);
    }),
    { numRuns: runs(2000) },
  );
});

test("parts are the text in front of a stop string, token by token, in whole characters, at their offsets", () => {
  fc.assert(
    fc.property(tokens, tokens, stops, fc.nat(5), (prompt, pieces, strings, pause) => {
      const all = [...prompt, ...pieces].map((piece) => Uint8Array.from(piece));
      const stream = new PartStream(
        (token) => all[token],
        strings.map((stop) => Uint8Array.from(stop)),
      );
      const found = search(pieces.flat(), strings);
      const texts: string[] = [];
      const taken: number[] = [];
      const take = () => {
        for (let part = stream.take(); part; part = stream.take()) {
          assert.is(part.index, taken.length);
          assert.is(part.offset, texts.join("").length);
          assert.is(part.prompt, part.token < prompt.length ? true : undefined);
          texts.push(part.text);
          taken.push(part.token);
        }
        assert.not(stream.waiting);
      };
      prompt.forEach((_, i) => {
        stream.echo(i);
      });
      let stopped: ReturnType<PartStream["push"]>;
      let generated = 0;
      for (; generated < pieces.length && !stopped; generated++) {
        stopped = stream.push(prompt.length + generated);
        if (generated % (pause + 1) === 0) {
          take();
          if (!stopped) assert.is(taken.length + stream.held, prompt.length + generated + 1);
          // Nothing is shown that a stop string may yet cut off.
          if (found) assert.ok(taken.slice(prompt.length).flatMap((token) => [...all[token]]).length <= found.at);
        }
      }
      const bytes = pieces.flat().slice(0, found?.at);
      if (stopped) {
        assert.is(stopped.stop, found!.stop);
        const whole = pieces.slice(0, stopped.keep).flat();
        assert.equal([...whole, ...stopped.rest], bytes);
        assert.ok(stopped.rest.length === 0 || stopped.rest.length < pieces[stopped.keep].length);
        // The rest as a token of its own.
        all.push(Uint8Array.from(stopped.rest));
        stream.end(stopped.rest.length > 0 ? [all.length - 1] : []);
      } else {
        assert.is(found, undefined);
        stream.end();
      }
      take();
      assert.is(stream.held, 0);
      assert.is(texts.join(""), decode([...prompt.flat(), ...bytes]));
    }),
    { numRuns: runs(2000) },
  );
});

test("without a vocabulary there are tokens without text", () => {
  const stream = new PartStream(undefined);
  stream.push(7);
  assert.equal(stream.take(), { text: "", token: 7, index: 0, offset: 0 });
});

test.run();
