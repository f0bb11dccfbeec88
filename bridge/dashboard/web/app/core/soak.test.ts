// An hour in seconds: what a store holds does not grow, many topics stay usable, and alarms outlive a page that is drawn anew.
// The client is a script, time stands until it is moved.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { chartPoints } from "./series.ts";
import type { WatchOptions } from "./item.ts";
import { Script, soon } from "./testkit.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heap(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test("soak: 20 topics at 10 a second, with rings, sparks and limits: once the rings are full nothing grows", async () => {
  const s = new Script(10_000);
  const topics = Array.from({ length: 20 }, (_, i) => `plant/${i}/temperature`);
  let changed = 0;
  const w = s.store.watch("plant/+/temperature", { pointer: "/t", limits: { warnHigh: 80, alarmHigh: 90, hysteresis: 1 }, sparkS: 300 }, (items) => (changed += items.size));
  await soon();
  s.start();
  let n = 0;
  const run = (seconds: number): void => {
    for (let i = 0; i < seconds * 10; i++) {
      n++;
      s.batch(topics, (k) => `{"t":${(50 + 45 * Math.sin(n / 500 + k)).toFixed(2)},"unit":"°C"}`);
      s.env.advance(100);
    }
  };
  run(1);
  for (const item of w.items.values()) {
    const view = item.track(chartPoints).view(() => undefined);
    view.follow(600e6, 400);
    item.spark(300, 60);
  }
  run(chartPoints / 10 + 30);
  const full = heap();
  const before = changed;
  run(1200);
  const later = heap();
  assert.ok(later - full < 1_000_000, `from ${full} to ${later} bytes in 20 minutes`);
  assert.ok(changed - before > 0 && changed - before <= 1200 * 5.1 * 20, `${changed - before} changes of items in 20 minutes`);
  assert.ok(s.store.alarms.history.length <= 500);
  assert.equal(w.items.get("plant/3/temperature")?.unit, "°C");
  s.store.close();
});

test("soak: 12,345 topics under # are bounded, counted and said", async () => {
  const s = new Script(10_000);
  const topics = Array.from({ length: 12_345 }, (_, i) => `crowd/${i}`);
  let drawn = 0;
  const w = s.store.watch("#", {}, () => drawn++);
  const named = s.store.watch("crowd/12344", {});
  await soon();
  s.start();
  for (let i = 0; i < 20; i++) {
    s.batch(topics, () => String(i));
    s.env.advance(500);
  }
  assert.equal(w.note, "10,001 of 12,345 topics shown");
  assert.equal(named.items.get("crowd/12344")?.number, 19);
  assert.ok(drawn >= 15 && drawn <= 52, `${drawn} draws in 10 s`);
  s.store.close();
});

test("soak: of large payloads no more is held than is shown, and who joins later is told", async () => {
  const s = new Script(10_000);
  const topics = Array.from({ length: 40 }, (_, i) => `large/${i}`);
  const arrays = "[],".repeat(80_000) + "[]"; // a quarter of a megabyte, whose arrays take ten times that
  const large = (i: number): string => `{"value":${i},"rest":[${arrays}]}`;
  const w = s.store.watch("large/+", {});
  await soon();
  s.start();
  s.batch(topics, (i) => String(i));
  const before = heap();
  s.batch(topics, large);
  const grown = heap() - before;
  assert.ok(grown < 40 * 20_000, `${grown} bytes for 40 payloads of ${large(0).length}`);
  assert.equal(w.items.get("large/7")?.number, 7, "it was looked into while it was there");
  const late = s.store.watch("large/7", { pointer: "/value" });
  await soon();
  const item = late.items.get("large/7");
  assert.match(item?.text ?? "", /^too large/);
  s.batch(["large/7"], () => large(8));
  assert.equal(item?.number, 8);
  s.store.close();
});

test("redraw: alarms, acknowledgements and hysteresis go on in the next watch of the same key; what nobody watches ends", async () => {
  const s = new Script(100);
  const o: WatchOptions = { limits: { warnHigh: 80, hysteresis: 5, latch: true }, title: "Press" };
  const say = (a: number, b: number): void => s.batch(["a", "b"], (i) => String(i === 0 ? a : b));
  const active = (): string[] => s.store.alarms.active.map((a) => `${a.topic} ${a.title} ${a.text} ${a.standing ? "stands" : "latched"}${a.acknowledged ? " acknowledged" : ""}`).sort();
  const redraw = async (title: string): Promise<void> => {
    for (const w of watches) w.close();
    watches = ["a", "b"].map((f) => s.store.watch(f, { ...o, title }));
    await soon();
    s.env.advance(20_000);
  };
  s.store.watch("#", {}); // one feed for all
  let watches = ["a", "b"].map((f) => s.store.watch(f, o));
  await soon();
  s.start();
  say(85, 85);
  s.store.alarms.acknowledge(s.store.alarms.active.find((a) => a.topic === "a")?.id ?? "");
  say(78, 70);
  await redraw("Press 7");
  assert.deepEqual(active(), ["a Press 7 78, above 80 stands acknowledged", "b Press 7 85, above 80 latched"], "within the hysteresis it stands on");
  say(79, 90);
  await redraw("Press 7");
  assert.deepEqual(active(), ["a Press 7 79, above 80 stands acknowledged", "b Press 7 90, above 80 stands"]);
  for (const w of watches) w.close();
  s.env.advance(5000);
  assert.equal(active().length, 2, "it may only be drawn anew");
  s.env.advance(7000);
  assert.deepEqual(active(), ["b Press 7 90, above 80; no longer watched latched"]);
  assert.deepEqual(s.store.alarms.history.map((a) => a.text), ["79, above 80; no longer watched", "85, above 80"]);
  for (const a of s.store.alarms.active) s.store.alarms.acknowledge(a.id);
  assert.deepEqual(active(), []);
  watches = [s.store.watch("a", o)];
  await soon();
  assert.deepEqual(active(), [], "79 has begun anew: it is none of an alarm's");
  say(85, 0);
  for (const w of watches) w.close();
  s.env.show(false); // nothing is swept of a hidden page
  s.env.advance(60_000);
  watches = [s.store.watch("a", { ...o, title: "Later" })];
  await soon();
  assert.deepEqual(active().filter((a) => a.includes("Later")), ["a Later 85, above 80 stands"], "it is another alarm");
  assert.equal(active().length, 2);
  s.store.close();
});
