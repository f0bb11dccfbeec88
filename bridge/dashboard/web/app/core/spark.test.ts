// A spark shows history up to what came live, also when it is first asked for on a page that has shown the value for a while.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Reading } from "../../client/src/reading.ts";
import { Script, soon } from "./testkit.ts";

/** A history of one topic that lags behind. */
class Lagging {
  stored = 0; // the offset that it has reached
  questions = 0;
  readonly points: { readonly timeUs: number; readonly value: number; readonly offset: number }[] = [];

  answer(url: URL): unknown {
    this.questions++;
    const number = (name: string): number => Number(url.searchParams.get(name)?.replace("ms", ""));
    const [fromUs, toUs, stepUs] = [number("from") * 1000, number("to") * 1000, number("step") * 1000] as const;
    const buckets = new Map<number, number[]>();
    for (const p of this.points) {
      if (p.offset > this.stored || p.timeUs < fromUs || p.timeUs >= toUs) continue;
      const t = Math.floor(p.timeUs / stepUs) * stepUs;
      buckets.set(t, [...(buckets.get(t) ?? []), p.value]);
    }
    return {
      cursor: { epoch: "e", offset: this.stored }, from: fromUs, to: toUs, gaps: [],
      buckets: [...buckets].map(([t, v]) => ({ t, count: v.length, min: Math.min(...v), max: Math.max(...v), sum: v.reduce((a, b) => a + b, 0), last: v[v.length - 1] })),
    };
  }
}

/** answered lets answers be read, which takes turns of the event loop. */
async function answered(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("spark: what came before it was first asked for is asked of history until history has it, and each value counts once", async () => {
  for (const reached of [0, 1, 2, 3]) { // what history has when it is asked first
    const history = new Lagging();
    const s = new Script(10, (url) => history.answer(url));
    const w = s.store.watch("a", { sparkS: 60 });
    await soon();
    s.start();
    for (const value of [7, 100, 200]) {
      s.batch(["a"], () => String(value));
      history.points.push({ timeUs: s.env.ms * 1000, value, offset: s.offset });
      s.env.advance(100);
    }
    const item = w.items.get("a");
    assert.ok(item !== undefined);
    const shown = (): unknown[] => {
      const { min, max } = item.spark(60, 1);
      let count = 0;
      item.series?.ring.each(() => count++);
      return [min[0], max[0], count];
    };
    history.stored = reached;
    shown();
    await answered();
    history.stored = 3;
    for (let i = 0; i < 20; i++) {
      s.env.advance(500);
      await answered();
    }
    assert.deepEqual(shown(), [7, 200, 1], `history had reached ${reached}`);
    const asked = history.questions;
    s.env.advance(600_000);
    await answered();
    assert.equal(history.questions, asked, "what is whole is not asked for again");
    s.store.close();
  }
});

test("history that has failed is asked again when a connection is back, and after a gap without news", async () => {
  const history = new Lagging();
  let away = true;
  const s = new Script(10, (url) => (away ? { detail: "not ours" } : history.answer(url)));
  const w = s.store.watch("a", { sparkS: 60 });
  await soon();
  s.start();
  s.batch(["a"], () => "7");
  history.points.push({ timeUs: s.env.ms * 1000, value: 7, offset: s.offset });
  s.env.advance(100);
  s.batch(["a"], () => "9");
  history.points.push({ timeUs: s.env.ms * 1000, value: 9, offset: s.offset });
  history.stored = s.offset;
  const item = w.items.get("a");
  const least = (): unknown => item?.spark(60, 1).min[0];
  const wait = async (): Promise<void> => {
    await answered();
    s.env.advance(500);
    await answered();
  };
  least();
  await wait();
  assert.equal(least(), 9, "history has failed");
  away = false;
  s.resume();
  await wait();
  assert.equal(least(), 7, "it is asked again with the connection");

  s.gap(3);
  history.points.push({ timeUs: s.env.ms * 1000, value: 5, offset: s.offset - 1 });
  history.stored = s.offset;
  await wait();
  s.resume(); // nothing has come behind the gap
  await wait();
  assert.deepEqual([least(), w.feed.marks.length], [5, 1]);
  s.store.close();
});

test("a mark stays until history has come as far in the journal, whatever the times say", async () => {
  const history = new Lagging();
  const s = new Script(10, (url) => history.answer(url));
  const w = s.store.watch("a", { every: "message" });
  await soon();
  s.start();
  s.batch(["a"], () => "7");
  history.stored = s.offset;
  const view = w.items.get("a")?.track(10).view(() => undefined);
  view?.follow(60e6, 60);
  const wait = async (): Promise<void> => {
    await answered();
    s.env.advance(1000);
    await answered();
  };
  await wait();
  s.env.advance(5000);
  view?.rejoin();
  await wait(); // history is asked again, in the midst of the silence
  s.env.advance(5000);
  s.gap(3);
  const reading = new Reading(s.offset + 1, s.env.ms * 1000 - 9_000_000, "a", 0, false, "8"); // so the gap has ended before that question
  s.say({ kind: "data", cursor: { epoch: "e", offset: s.offset + 1 }, from: s.offset, to: s.offset + 1, readings: [reading], conflated: 2, open: false });
  const marks = (): unknown => view?.marks().map((m) => m.kind);
  assert.deepEqual(marks(), ["gap", "conflated"]);
  history.stored = s.offset; // of the gap, not of what was left out
  view?.rejoin();
  await wait();
  assert.deepEqual(marks(), ["conflated"]);
  history.stored = s.offset + 1;
  view?.rejoin();
  await wait();
  assert.deepEqual(marks(), []);
  s.store.close();
});
