// The interpreter: every operation by its record, shared out among ranks, which run one after another here. And the barrier,
// as far as one thread can see it; teams of threads have tests of their own.
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as ops from "../../assembly/ops.ts";
import type { Region } from "./arena.ts";
import { batch, padded } from "./batch.ts";
import { builds, everywhere, type Setting, same, setting } from "./harness.ts";
import { Random } from "./random.ts";
import { BF16, chain, decode, encode, F16, norm } from "./reference.ts";

const EPS = 1e-5;

/** An argument that is no integer. */
const float = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0];

interface Step {
  op: number;
  /** Address of the count of rows. */
  rows: number;
  fence?: number;
  args?: number[];
}

const SCRATCH = ops.SCRATCH_BYTES + 64 * 128;

/** Writes a program. Ranks find their scratch one after another. */
function program({ arena }: Setting, steps: Step[], table: number, team = 0, ranks = 1): Region {
  const words = new Uint32Array((ops.RECORD_BYTES / 4) * (steps.length + 2));
  words[ops.H_TEAM / 4] = team;
  words[ops.H_BATCH / 4] = table - ops.BATCH_TABLE;
  words[ops.H_SCRATCH / 4] = arena.output(SCRATCH * ranks).at;
  words[ops.H_SCRATCH_STRIDE / 4] = SCRATCH;
  steps.forEach(({ op, rows, fence = 0, args = [] }, i) => {
    const record = ((i + 1) * ops.RECORD_BYTES) / 4;
    words[record + ops.F_OP / 4] = op;
    words[record + ops.F_FENCE / 4] = fence;
    words[record + ops.F_ROWS / 4] = rows;
    words.set(args, record + ops.F_ARGS / 4);
  });
  return arena.input(words);
}

/** Runs one record by `ranks` ranks, the last one first. */
function share(setting: Setting, step: Step, table: number, ranks: number): void {
  const { at } = program(setting, [step], table, 0, ranks);
  for (let rank = ranks - 1; rank >= 0; rank--) assert.is(setting.kernels.run(at, rank, ranks), ops.RUN_DONE);
}

const RANKS = [1, 2, 3, 7];

/** Engines word it differently. */
const trapped = (error: unknown) => error instanceof WebAssembly.RuntimeError;

everywhere("embed: rows of the table in any type, with and without a norm", (setting) => {
  const { arena } = setting;
  const random = new Random(30);
  const [vocabulary, tokens] = [11, [10, 0, 3, 3, 7]];
  for (const channels of [24, 32, 100]) {
    const blocks = Math.ceil(channels / 32);
    const weight = random.bells(channels);
    const bias = random.bells(channels);
    for (const type of [ops.T_F32, ops.T_F16, ops.T_BF16, ops.T_Q8_0]) {
      const meant = Array.from({ length: vocabulary }, () => {
        const codes = Float32Array.from({ length: channels }, () => random.below(256) - 128);
        return type === ops.T_Q8_0 ? codes.map((code) => code / 64) : codes.map((code) => code * 2 ** (code % 8));
      });
      const bytes = type === ops.T_Q8_0 ? blocks * 34 : channels * (type === ops.T_F32 ? 4 : 2);
      const file = new DataView(new ArrayBuffer(bytes * vocabulary));
      meant.forEach((row, id) => {
        if (type === ops.T_Q8_0)
          for (let b = 0; b < blocks; b++) file.setUint16(id * bytes + b * 34, encode(F16, 1 / 64), true);
        row.forEach((value, i) => {
          if (type === ops.T_F32) file.setFloat32(id * bytes + i * 4, value, true);
          else if (type === ops.T_Q8_0) file.setInt8(id * bytes + (i >> 5) * 34 + 2 + (i % 32), value * 64);
          else file.setUint16(id * bytes + i * 2, encode(type === ops.T_F16 ? F16 : BF16, value), true);
        });
      });
      for (const ranks of RANKS) {
        for (const normed of [false, true]) {
          arena.reset();
          const rows = batch(arena, [tokens.length], [new Float32Array(8)], false, tokens);
          const table = arena.input(file);
          const [w, b] = [weight, bias].map((values) => arena.input(padded([values])).at);
          const x = arena.zeros(tokens.length * blocks * 128);
          const args = [table.at, type, vocabulary, x.at, channels, bytes, normed ? w : 0, b, float(EPS)];
          share(setting, { op: ops.OP_EMBED, rows: rows.region.at, args }, rows.table, ranks);
          const expected = tokens.map((id) => (normed ? norm(meant[id], weight, bias, EPS) : meant[id]));
          same(x.f32, padded(expected), `type ${type}, ${channels} channels, ${ranks} ranks`);
        }
      }
    }
  }
});

everywhere("embed: a token beyond the vocabulary traps", (setting) => {
  const rows = batch(setting.arena, [1], [new Float32Array(8)], false, [11]);
  const x = setting.arena.output(128);
  const args = [setting.arena.input(new Float32Array(32 * 11)).at, ops.T_F32, 11, x.at, 32, 128, 0, 0, 0];
  assert.throws(() => share(setting, { op: ops.OP_EMBED, rows: rows.region.at, args }, rows.table, 1), trapped);
});

everywhere("matmul: pieces of 32 rows to the ranks, every finish, no channel beyond the last", (setting) => {
  const { arena, kernels } = setting;
  const random = new Random(31);
  const inputs = 40;
  const f16 = (v: number) => decode(F16, encode(F16, v));
  // With many tokens some go to the ranks by tokens.
  for (const [outputs, n] of [1, 32, 70, 128].flatMap((outputs) => [3, 14].map((n) => [outputs, n]))) {
    const x = random.bells(n * 64);
    const weights = random.bells(outputs * inputs).map(f16);
    for (const [type, file] of [
      [ops.T_F32, weights],
      [ops.T_F16, Uint16Array.from(weights, (v) => encode(F16, v))],
    ] as const) {
      for (const [ranks, how] of [
        [1, ops.FINISH_STORE],
        [2, ops.FINISH_ADD],
        [3, ops.FINISH_RELU2],
        [7, ops.FINISH_STORE],
        [2, ops.FINISH_BIAS],
        [3, ops.FINISH_GATED],
      ]) {
        arena.reset();
        const rows = arena.input(Uint32Array.of(n));
        const piece = kernels.piece_bytes(type, inputs);
        const pieces = Math.ceil(outputs / 32);
        const packed = arena.output(piece * pieces);
        const scratch = arena.output(384).at;
        const src = arena.input(file).at;
        const stored = kernels.stored_bytes(type, inputs);
        for (let p = 0; p < pieces; p++) {
          kernels.pack(
            packed.at + p * piece,
            src + p * 32 * stored,
            type,
            Math.min(32, outputs - p * 32),
            inputs,
            scratch,
          );
        }
        const old = random.bells(n * (outputs + 5));
        const dst = arena.copy(old);
        // A bias of its own for every channel; a gate like dst.
        const other = random.bells(n * (outputs + 5) + 32);
        const args = [dst.at, (outputs + 5) * 4, packed.at, type, arena.input(x).at, 256, outputs, inputs, how];
        args.push(arena.input(other).at, float(0.5));
        share(setting, { op: ops.OP_MATMUL, rows: rows.at, args }, 0, ranks);
        const expected = old.map((before, i) => {
          const [t, row] = [Math.floor(i / (outputs + 5)), i % (outputs + 5)];
          if (row >= outputs) return before;
          const sum = chain(weights, row * inputs, x, t * 64, inputs);
          if (how === ops.FINISH_ADD) return before + sum;
          if (how === ops.FINISH_BIAS) return sum + other[row];
          if (how === ops.FINISH_GATED) return Math.fround(before + Math.fround(other[i] * sum)) * 0.5;
          return how === ops.FINISH_STORE ? sum : Math.max(sum, 0) ** 2;
        });
        same(dst.f32, expected, `${outputs} outputs, type ${type}, ${ranks} ranks, finish ${how}`);
      }
    }
  }
});

everywhere("norm_mix, quantize, wkv7: any number of ranks gives what one call of the kernel gives", (setting) => {
  const { arena, kernels } = setting;
  const [channels, size, n] = [160, 16, 5];
  const numbers = (rows: number) => new Random(rows).bells(rows * channels);
  for (const ranks of RANKS) {
    arena.reset();
    const slots = [1, 2].map((seed) => new Random(seed).bells(channels * (size + 1)));
    const rows = batch(arena, [3, 2], slots);
    const [x, vectors, mu, acts] = [n, 8, 6, 7 * n].map((count) => arena.input(numbers(count)).at);
    const mixed = () => ({ dst: arena.zeros(6 * n * channels * 4), q8: arena.zeros(6 * n * 5 * ops.Q8_BLOCK) });
    const stride = n * channels * 4;
    const stride8 = n * 5 * ops.Q8_BLOCK;

    const [one, many] = [mixed(), mixed()];
    const shared = [x, channels, vectors, vectors + channels * 4, EPS, 0, mu, 6] as const;
    kernels.norm_mix(rows.table, n, ...shared, one.dst.at, stride, one.q8.at, stride8, 0b1011, 0, 5);
    const kept = rows.to.map((slot) => slot.u8.slice());
    for (const slot of rows.to) slot.u8.fill(0, 0, channels * 4);
    const args = [
      ...shared.slice(0, 4),
      float(EPS),
      ...shared.slice(5),
      many.dst.at,
      stride,
      many.q8.at,
      stride8,
      0b1011,
    ];
    share(setting, { op: ops.OP_NORM_MIX, rows: rows.region.at, args }, rows.table, ranks);
    same(many.dst.f32, one.dst.f32, "norm_mix");
    assert.is(Buffer.compare(many.q8.u8, one.q8.u8), 0, "norm_mix, quantised");
    rows.to.forEach((slot, s) => void assert.is(Buffer.compare(slot.u8, kept[s]), 0, "norm_mix, kept"));

    for (const unit of [32, 64, 160]) {
      many.q8.u8.fill(0);
      one.q8.u8.fill(0);
      kernels.quantize_q8(one.q8.at, x, channels * 4, 0, 5, n);
      const quantize = {
        op: ops.OP_QUANTIZE,
        rows: rows.region.at,
        args: [many.q8.at, x, channels * 4, channels, unit],
      };
      share(setting, quantize, rows.table, ranks);
      assert.is(Buffer.compare(many.q8.u8, one.q8.u8), 0, `quantize by ${unit}`);
    }

    const timed = () => ({ out: arena.zeros(stride), first: arena.zeros(stride) });
    const [single, team] = [timed(), timed()];
    const heads = channels / size;
    const S = channels * 4;
    const scratch = arena.output(14 * size * 4).at;
    const time = [acts, stride, vectors, channels, size] as const;
    kernels.wkv7(rows.table, n, ...time, EPS, S, single.first.at, 1, single.out.at, 0, heads, scratch);
    const states = rows.to.map((slot) => slot.f32.slice());
    for (const slot of rows.to) slot.u8.fill(0, channels * 4);
    const wkv = [...time, float(EPS), S, team.first.at, 1, team.out.at];
    share(setting, { op: ops.OP_WKV7, rows: rows.region.at, args: wkv }, rows.table, ranks);
    same(team.out.f32, single.out.f32, "wkv7");
    same(team.first.f32, single.first.f32, "wkv7, first values");
    rows.to.forEach((slot, s) => void same(slot.f32, states[s], "wkv7, states"));
  }
});

everywhere("lerp, wkv4, wkv6: any number of ranks gives what one call of the kernel gives", (setting) => {
  const { arena, kernels } = setting;
  const [channels, size, n] = [160, 16, 5];
  const numbers = (rows: number) => new Random(rows).bells(rows * channels);
  const stride = n * channels * 4;
  for (const ranks of RANKS) {
    arena.reset();
    const slots = [1, 2].map((seed) => new Random(seed).bells(channels * size));
    const rows = batch(arena, [3, 2], slots);
    const [acts, vectors] = [5 * n, 5].map((count) => arena.input(numbers(count)).at);
    /** Runs the kernel, then the record, and compares what they write. */
    const both = (
      what: string,
      op: number,
      outputs: number,
      kernel: (dst: number) => void,
      args: (dst: number) => number[],
    ) => {
      const [one, many] = [arena.zeros(outputs * stride), arena.zeros(outputs * stride)];
      kernel(one.at);
      const states = rows.to.map((slot) => slot.f32.slice());
      for (const slot of rows.to) slot.u8.fill(0);
      share(setting, { op, rows: rows.region.at, args: args(many.at) }, rows.table, ranks);
      same(many.f32, one.f32, what);
      rows.to.forEach((slot, s) => void same(slot.f32, states[s], `${what}, states`));
      for (const slot of rows.to) slot.u8.fill(0);
    };
    for (const slot of rows.to) slot.u8.fill(0);

    const xx = [acts, acts + stride, channels, vectors, 2, acts + stride * 2, stride] as const;
    both(
      "lerp",
      ops.OP_LERP,
      2,
      (dst) => kernels.lerp(n, ...xx, dst, stride, 0, 5),
      (dst) => [...xx, dst, stride],
    );
    const four = [acts, stride, vectors, channels, 0, channels * 4, channels * 8] as const;
    both(
      "wkv4",
      ops.OP_WKV4,
      1,
      (dst) => kernels.wkv4(rows.table, n, ...four, dst, 0, 5),
      (dst) => [...four, dst],
    );
    const heads = channels / size;
    const scratch = arena.output(2 * size * 4).at;
    for (const parts of [0, ops.WKV6_GATE, ops.WKV6_GATE | ops.WKV6_DECAY]) {
      const six = [acts, stride, vectors, channels, size] as const;
      both(
        `wkv6, parts ${parts}`,
        ops.OP_WKV6,
        1,
        (dst) => kernels.wkv6(rows.table, n, ...six, EPS, 0, parts, dst, 0, heads, scratch),
        (dst) => [...six, float(EPS), 0, parts, dst],
      );
    }
  }
});

everywhere("matmul with a bias, with a gate: the ranks' own channels of both", (setting) => {
  const { arena, kernels } = setting;
  const random = new Random(33);
  const f = Math.fround;
  const [n, inputs, outputs] = [3, 40, 70];
  const weights = random.bells(outputs * inputs);
  const x = random.bells(n * 64);
  const bias = random.bells(96);
  const gate = random.bells(n * 96);
  const old = random.bells(n * 96);
  for (const ranks of RANKS) {
    for (const how of [ops.FINISH_BIAS, ops.FINISH_GATED]) {
      arena.reset();
      const piece = kernels.piece_bytes(ops.T_F32, inputs);
      const packed = arena.output(piece * 3);
      const src = arena.input(weights).at;
      const scratch = arena.output(4096).at;
      for (let p = 0; p < 3; p++) {
        const rows = Math.min(32, outputs - p * 32);
        kernels.pack(packed.at + p * piece, src + p * 32 * inputs * 4, ops.T_F32, rows, inputs, scratch);
      }
      const dst = arena.copy(old);
      const other = arena.input(how === ops.FINISH_BIAS ? bias : gate).at;
      const args = [dst.at, 384, packed.at, ops.T_F32, arena.input(x).at, 256, outputs, inputs, how, other, float(0.5)];
      share(setting, { op: ops.OP_MATMUL, rows: arena.input(Uint32Array.of(n)).at, args }, 0, ranks);
      const expected = old.map((before, i) => {
        const [t, row] = [Math.floor(i / 96), i % 96];
        if (row >= outputs) return before;
        const sum = chain(weights, row * inputs, x, t * 64, inputs);
        return how === ops.FINISH_BIAS ? sum + bias[row] : f(before + f(gate[i] * sum)) * 0.5;
      });
      same(dst.f32, expected, `finish ${how}, ${ranks} ranks`);
    }
  }
});

everywhere("keep: the last row of every session; gather_norm: the rows of a list", (setting) => {
  const { arena } = setting;
  const random = new Random(32);
  const [channels, sessions] = [40, [1, 3, 2]];
  for (const ranks of RANKS) {
    arena.reset();
    const rows = batch(
      arena,
      sessions,
      sessions.map(() => new Float32Array(80)),
    );
    const values = Array.from({ length: 6 }, () => random.bells(channels));
    const x = arena.input(padded(values)).at;
    share(setting, { op: ops.OP_KEEP, rows: rows.region.at, args: [x, channels, 64] }, rows.table, ranks);
    [0, 3, 5].forEach((t, s) => void same(rows.to[s].f32.slice(16), padded([values[t]]), `session ${s}`));

    const wanted = [5, 0, 0, 3];
    const [weight, bias] = [random.bells(channels), random.bells(channels)];
    const list = arena.input(Uint32Array.from(wanted, (t) => x + t * 256)).at;
    const dst = arena.output(4 * 256);
    const [w, b] = [weight, bias].map((vector) => arena.input(padded([vector])).at);
    const args = [list, channels, w, b, float(EPS), dst.at];
    share(setting, { op: ops.OP_GATHER_NORM, rows: arena.input(Uint32Array.of(4)).at, args }, rows.table, ranks);
    same(dst.f32, padded(wanted.map((t) => norm(values[t], weight, bias, EPS))), `${ranks} ranks`);
  }
});

/** A record that copies one row: its effect shows whether it ran. */
function copy({ arena }: Setting) {
  const rows = batch(arena, [1], [new Float32Array(32)]);
  const x = arena.input(new Float32Array(32).fill(5)).at;
  rows.to[0].u8.fill(0);
  return { step: { op: ops.OP_KEEP, rows: rows.region.at, args: [x, 32, 0] }, table: rows.table, slot: rows.to[0] };
}

everywhere("a record of no rows does nothing, an unknown one traps, the end ends", (setting) => {
  const { kernels, arena } = setting;
  const { step, table, slot } = copy(setting);
  const none = arena.input(Uint32Array.of(0)).at;
  const run = (...steps: Step[]) => kernels.run(program(setting, steps, table).at, 0, 1);
  assert.is(run(), ops.RUN_DONE);
  assert.is(run({ ...step, rows: none }, { op: 99, rows: none }, { op: ops.OP_END, rows: none }, step), ops.RUN_DONE);
  assert.is(slot.f32[0], 0);
  assert.throws(() => run({ ...step, op: 99 }), trapped);
  assert.is(kernels.lead(program(setting, [step, step], table).at, 1), ops.RUN_DONE);
  assert.is(slot.f32[0], 5);
});

const withThreads = builds.filter((build) => build.endsWith("threads"));
assert.ok(withThreads.length > 0, "every runtime with these tests has threads");

for (const build of builds) {
  const threads = withThreads.includes(build);

  test(`${build}: one rank stops at a fence when it is told to, if the host can tell it`, () => {
    const here = setting(build);
    const team = here.arena.zeros(ops.TEAM_BYTES);
    const { step, table, slot } = copy(here);
    const { at } = program(
      here,
      [{ ...step, rows: here.arena.input(Uint32Array.of(0)).at, fence: 1 }, step],
      table,
      team.at,
    );
    team.i32[ops.TEAM_ABORT / 4] = 1;
    assert.is(here.kernels.fence(team.at, 1), threads ? ops.RUN_ABORTED : ops.RUN_DONE);
    assert.is(here.kernels.run(at, 0, 1), threads ? ops.RUN_ABORTED : ops.RUN_DONE);
    assert.is(slot.f32[0], threads ? 0 : 5);
    team.i32[ops.TEAM_ABORT / 4] = 0;
    assert.is(here.kernels.fence(team.at, 1), ops.RUN_DONE);
    assert.is(here.kernels.run(at, 0, 1), ops.RUN_DONE);
    assert.is(slot.f32[0], 5);
  });
}

for (const build of withThreads) {
  test(`${build}: the last rank to come opens the barrier, and says whether to stop`, () => {
    const { arena, kernels } = setting(build);
    const team = arena.zeros(ops.TEAM_BYTES);
    for (const abort of [0, 1]) {
      const phase = team.i32[ops.TEAM_PHASE / 4];
      team.i32[ops.TEAM_ARRIVED / 4] = 2;
      team.i32[ops.TEAM_ABORT / 4] = abort;
      assert.is(kernels.fence(team.at, 3), abort ? ops.RUN_ABORTED : ops.RUN_DONE);
      assert.is(team.i32[ops.TEAM_ARRIVED / 4], 0);
      assert.is(team.i32[ops.TEAM_PHASE / 4], phase + 1);
    }
  });

  test(`${build}: a poisoned team keeps nobody waiting`, () => {
    const { arena, kernels } = setting(build);
    const team = arena.zeros(ops.TEAM_BYTES);
    kernels.poison(team.at);
    for (let rank = 1; rank < ops.TEAM_RANKS; rank++) {
      const epoch = (ops.TEAM_CALLS + rank * ops.CALL_BYTES + ops.CALL_EPOCH) / 4;
      assert.is(team.i32[epoch], 1, "who is about to sleep on the old epoch does not");
      kernels.follow(team.at, rank);
    }
    for (const ranks of [1, 2, 2]) assert.is(kernels.fence(team.at, ranks), ops.RUN_POISONED);
  });
}

test.run();
