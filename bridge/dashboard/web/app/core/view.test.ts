import assert from "node:assert/strict";
import { test } from "node:test";
import { HistoryError, type Aggregate, type Question } from "./history.ts";
import { Ring } from "./ring.ts";
import { rng, seeds, soon, StoodEnv } from "./testkit.ts";
import type { Mark } from "./types.ts";
import { View } from "./view.ts";

interface Entry {
  readonly at: number; // position over all journals
  readonly epoch: number;
  readonly offset: number;
  readonly timeUs: number;
  readonly value: number;
}

/** World is a bridge as a view sees it: a journal, a sink that lags behind it, and a live feed that lags otherwise. */
class World {
  readonly env = new StoodEnv();
  readonly entries: Entry[] = [];
  readonly feed: { epochs: string[]; chainFrom: number; marks: Mark[] } = { epochs: [], chainFrom: -1, marks: [] };
  readonly ring: Ring;
  readonly view: View;
  readonly r: ReturnType<typeof rng>;
  epoch = 0;
  offset = 0;
  stored = 0; // entries that the sink has
  sent = 0; // entries that the feed has delivered or declared missing
  skipped = new Set<number>();
  questions = 0;
  fails: HistoryError | null = null;
  tracked = true; // the ring takes what is delivered
  private readonly asked: (() => void)[] = []; // questions under way

  constructor(seed: number, ringSize: number) {
    this.r = rng(seed);
    this.ring = new Ring(ringSize);
    this.env.ms = 10_000_000;
    this.env.random = () => this.r.next();
    const source = { topic: "t", feed: this.feed, ring: this.ring, field: () => "value", unit: () => "", scale: 1, offset: 0, nowUs: () => this.nowUs, clockKnown: () => true };
    this.view = new View(source, { load: (q, signal) => this.load(q, signal) }, this.env, () => undefined);
  }

  get nowUs(): number {
    return this.env.ms * 1000;
  }

  append(): void {
    if (this.r.int(200) === 0) {
      this.epoch++;
      this.offset = this.r.int(3);
    }
    this.offset += 1 + this.r.int(3); // others' entries lie between
    this.entries.push({ at: this.entries.length, epoch: this.epoch, offset: this.offset, timeUs: this.nowUs + this.r.int(50), value: this.r.int(1000) });
  }

  /** deliver takes the feed on by n entries; with lose, they are a declared gap. */
  deliver(n: number, lose: boolean): void {
    const batch = this.entries.slice(this.sent, this.sent + n);
    const first = batch[0];
    const last = batch[batch.length - 1];
    if (first === undefined || last === undefined) return;
    if (lose) {
      for (const e of batch) this.skipped.add(e.at);
      this.sent += batch.length;
      this.feed.chainFrom = -1;
      this.feed.marks.push({ kind: "gap", fromUs: first.timeUs, toUs: this.nowUs, count: n, reason: "evicted", upTo: { epoch: `e${last.epoch}`, offset: last.offset } });
      this.view.rejoin();
      return;
    }
    for (const e of batch) {
      const name = `e${e.epoch}`;
      if (this.feed.epochs[this.feed.epochs.length - 1] !== name || this.feed.chainFrom < 0) {
        if (this.feed.epochs[this.feed.epochs.length - 1] !== name) this.feed.epochs.push(name);
        this.feed.chainFrom = e.offset - 1;
        this.view.rejoin();
      }
      this.sent++;
      if (!this.tracked) continue;
      const chain = this.feed.epochs.length - 1;
      this.ring.push(e.timeUs, e.value, e.offset, chain);
      this.view.push(e.timeUs, e.value, e.offset, chain);
    }
  }

  /** track lets the ring begin with the last that was delivered, as an item's does when somebody draws it. */
  track(): void {
    this.tracked = true;
    const last = this.entries.filter((e) => e.at < this.sent && !this.skipped.has(e.at)).pop();
    if (last === undefined) return;
    const chain = this.feed.epochs.lastIndexOf(`e${last.epoch}`);
    this.ring.lacks(last.timeUs, last.offset - 1, chain);
    this.ring.push(last.timeUs, last.value, last.offset, chain);
  }

  /** load waits until step takes the question on: to a look at what is stored then, and to the answer. */
  private load(q: Question, signal: AbortSignal): Promise<Aggregate[]> {
    this.questions++;
    if (this.fails !== null) return Promise.reject(this.fails);
    return new Promise((resolve, reject) => {
      let answer: Aggregate | null = null;
      const asked = (): void => {
        if (signal.aborted) reject(new DOMException("moved on", "AbortError"));
        else if (answer !== null) resolve([answer]);
        else {
          answer = this.aggregate(q, this.stored);
          this.asked.push(asked);
        }
      };
      this.asked.push(asked);
    });
  }

  /** step takes each question on, or not yet. */
  step(always: boolean): void {
    for (const f of this.asked.splice(0)) {
      if (always || this.r.int(4) === 0) f();
      else this.asked.push(f);
    }
  }

  /** answered is the entries that the answer on show holds. */
  get answered(): number {
    const c = this.view["covered"][0];
    return c === undefined ? 0 : this.entries.reduce((n, e) => (`e${e.epoch}` === c.epoch && e.offset <= c.offset ? e.at + 1 : n), 0);
  }

  aggregate(q: { fromUs: number; toUs: number; stepUs: number }, upTo: number): Aggregate {
    const from = Math.floor(q.fromUs / q.stepUs);
    const to = Math.ceil(q.toUs / q.stepUs);
    const buckets = new Map<number, number[]>();
    for (const e of this.entries.slice(0, upTo)) {
      const index = Math.floor(e.timeUs / q.stepUs);
      if (index >= from && index < to) buckets.set(index, [...(buckets.get(index) ?? []), e.value]);
    }
    const last = this.entries[upTo - 1];
    return {
      epoch: `e${last?.epoch ?? 0}`, offset: last?.offset ?? 0, fromUs: from * q.stepUs, toUs: to * q.stepUs, keptFromUs: -Infinity, gaps: [], gapsMore: false, stepUs: q.stepUs,
      rows: [...buckets].map(([index, v]) => ({ t: index * q.stepUs, count: v.length, min: Math.min(...v), max: Math.max(...v), sum: v.reduce((a, b) => a + b, 0), last: v[v.length - 1] as number })),
    };
  }

  /** shown and true statistics of the window, by bucket. */
  compare(): [shown: Map<number, string>, truth: Map<number, string>] {
    const { band } = this.view;
    const { fromUs, toUs } = this.view.window();
    const shown = new Map<number, string>();
    band.each(fromUs + band.stepUs, toUs, (b) => shown.set(b.index, `${b.count} ${b.min} ${b.max} ${b.sum}`));
    const truth = new Map<number, string>();
    const { answered } = this;
    const c = this.view["covered"][0] ?? { fromUs: 0, toUs: 0 };
    const seen = this.entries.filter((e) => (e.at < answered && e.timeUs >= c.fromUs && e.timeUs < c.toUs) || (e.at < this.sent && !this.skipped.has(e.at)));
    const all = { entries: seen } as unknown as World;
    for (const r of World.prototype.aggregate.call(all, { fromUs, toUs, stepUs: band.stepUs }, seen.length).rows) {
      const index = Math.round(r.t / band.stepUs);
      if (index >= Math.floor((fromUs + band.stepUs) / band.stepUs) && index < Math.ceil(toUs / band.stepUs)) truth.set(index, `${r.count} ${r.min} ${r.max} ${r.sum}`);
    }
    return [shown, truth];
  }
}

/** run drives a world at random, and checks at each step in which the view calls itself joined that it shows exactly what it must. */
async function run(seed: number): Promise<void> {
  const w = new World(seed, 8 + rng(seed ^ 1).int(60));
  const { r } = w;
  w.tracked = false;
  for (let early = r.int(2) * r.int(20); early > 0; early--) {
    w.append();
    w.env.advance(r.int(150));
    w.stored += r.int(3) === 0 ? r.int(w.entries.length - w.stored + 1) : 0;
    w.deliver(r.int(3), r.int(40) === 0);
  }
  w.track();
  w.view.follow(20e6, 200);
  let joined = 0;
  for (let step = 0; step < 400; step++) {
    const n = r.int(4);
    for (let i = 0; i < n; i++) w.append();
    w.env.advance(r.int(150));
    w.stored += r.int(w.entries.length - w.stored + 1);
    if (r.int(3) > 0) w.deliver(r.int(6), r.int(40) === 0);
    if (r.int(100) === 0) zoom(w);
    w.step(false);
    await soon();
    if (step % 4 !== 0) continue;
    if (w.view.joined !== "joined") {
      assertNoneTwice(w, `seed ${seed}, step ${step}`);
      continue;
    }
    joined++;
    // A hole that was declared since the answer is marked, and filled by the next answer.
    if ([...w.skipped].some((at) => at >= w.answered)) continue;
    const [shown, truth] = w.compare();
    assert.deepEqual(shown, truth, `seed ${seed}, step ${step}`);
  }
  await settle(w, seed);
  const [shown, truth] = w.compare();
  assert.deepEqual(shown, truth, `seed ${seed}: at the end`);
  assert.ok(joined > 0, `seed ${seed}: it never joined`);
  w.view.close();
}

/** assertNoneTwice holds at any time: a view that waits for history may lack entries, and shows none twice. */
function assertNoneTwice(w: World, what: string): void {
  const { band } = w.view;
  const { rows } = w.aggregate({ fromUs: 0, toUs: 2 * w.nowUs, stepUs: band.stepUs }, w.entries.length);
  const truth = new Map(rows.map((r) => [Math.round(r.t / band.stepUs), r.count]));
  band.each(-Infinity, Infinity, (b) => assert.ok(b.count <= (truth.get(b.index) ?? 0), `${what}: ${b.count} entries of ${truth.get(b.index)} in bucket ${b.index}`));
}

function zoom(w: World): void {
  const { fromUs, toUs } = w.view.window();
  if (w.r.int(2) === 0) w.view.follow(5e6 + w.r.int(30e6), 50 + w.r.int(200));
  else w.view.fix(fromUs + (toUs - fromUs) * 0.2 * w.r.next(), toUs, 50 + w.r.int(100));
}

/** settle lets the sink catch up and everything be sent, and the view ask as often as it wants. */
async function settle(w: World, seed: number): Promise<void> {
  w.append();
  w.stored = w.entries.length;
  w.deliver(w.entries.length - w.sent, false);
  for (let i = 0; i < 200 && !(w.view.joined === "joined" && w.answered > 0 && ![...w.skipped].some((at) => at >= w.answered)); i++) {
    w.env.advance(1000);
    w.step(true);
    await soon();
  }
  assert.equal(w.view.joined, "joined", `seed ${seed}: ${w.view.note}`);
}

test("view: history and live join without a hole and without a duplicate, at any lag of either, over gaps, restarts and zooms", async () => {
  for (const seed of seeds(60)) await run(seed);
});

test("view: a gap is marked until history has filled it", async () => {
  const w = new World(1, 100);
  w.view.follow(20e6, 200);
  w.append();
  w.deliver(1, false);
  w.append();
  w.deliver(1, true);
  w.env.advance(1);
  await soon();
  assert.equal(w.view.marks().length, 1);
  await settle(w, 1);
  assert.equal(w.view.marks().length, 0);
});

test("view: without history the ring alone is shown, and paused it stands still", () => {
  const w = new World(2, 100);
  const view = new View({ topic: "t", feed: w.feed, ring: w.ring, field: () => "value", unit: () => "", scale: 1, offset: 0, nowUs: () => w.nowUs, clockKnown: () => true }, null, w.env, () => undefined);
  w.ring.push(w.nowUs - 1e6, 5, 1, 0);
  view.follow(10e6, 100);
  const count = (): number => {
    let n = 0;
    view.band.each(-Infinity, Infinity, (b) => (n += b.count));
    return n;
  };
  assert.equal(count(), 1);
  view.push(w.nowUs, 6, 2, 0);
  assert.equal(count(), 2);
  view.hold();
  w.env.advance(5000);
  const before = view.window();
  view.push(w.nowUs, 7, 3, 0);
  w.env.advance(5000);
  assert.deepEqual(view.window(), before);
  assert.equal(count(), 2);
  assert.equal(view.joined, "none");
});

test("view: history that stays behind is said, asked seldom from then on, and joined when it has caught up", async () => {
  const w = new World(3, 100);
  w.view.follow(20e6, 200);
  w.append();
  w.append();
  w.stored = 1;
  w.deliver(2, false);
  w.feed.chainFrom = w.entries[1]!.offset;
  const run = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++) {
      w.env.advance(1000);
      w.step(true);
      await soon();
    }
  };
  await run(100);
  assert.equal(w.view.joined, "failed");
  assert.match(w.view.note, /history is behind the present/);
  const before = w.questions;
  await run(600);
  assert.ok(w.questions - before >= 1 && w.questions - before <= 10, `${w.questions - before} questions in ten minutes`);
  w.stored = 2;
  await run(900);
  assert.deepEqual([w.view.joined, w.view.note], ["joined", ""]);
  assert.deepEqual(w.env.waiting, { frames: 0, timers: 0 });
});

test("view: history that fails is asked again, and one that refuses is not", async () => {
  const rows: [status: number, again: boolean][] = [[0, true], [200, true], [429, true], [503, true], [404, true], [400, false], [403, false]];
  for (const [status, again] of rows) {
    const w = new World(4, 100);
    w.fails = new HistoryError("history: no", status);
    w.append();
    w.deliver(1, false);
    w.stored = 1;
    w.view.follow(20e6, 200);
    await soon();
    assert.deepEqual([w.view.joined, w.view.note], ["failed", "history: no"], `status ${status}`);
    w.fails = null;
    for (let i = 0; i < 100; i++) {
      w.env.advance(1000);
      w.step(true);
      await soon();
    }
    assert.equal(w.view.joined, again ? "joined" : "failed", `status ${status}`);
    assert.deepEqual(w.env.waiting, { frames: 0, timers: 0 }, `status ${status}`);
    w.fails = new HistoryError("history: no", status);
    w.view.rejoin();
    w.env.advance(1000);
    await soon();
    w.view.close();
    assert.deepEqual(w.env.waiting, { frames: 0, timers: 0 }, `status ${status}: closed`);
  }
});
