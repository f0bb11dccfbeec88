import assert from "node:assert/strict";
import { test } from "node:test";
import { Scheduler } from "./scheduler.ts";
import { StoodEnv } from "./testkit.ts";

test("scheduler: nothing dirty, no frame and no timer", () => {
  const env = new StoodEnv();
  const s = new Scheduler(env);
  let drawn = 0;
  const d = s.add(() => drawn++, { everyMs: 50 });
  env.advance(1000);
  assert.deepEqual(env.waiting, { frames: 0, timers: 0 });
  d.dirty();
  env.advance(1000);
  assert.equal(drawn, 1);
  assert.deepEqual(env.waiting, { frames: 0, timers: 0 });
});

test("scheduler: each at most as often as it asks, all at most 60 times a second", () => {
  for (const hz of [30, 60, 144]) {
    const env = new StoodEnv();
    const s = new Scheduler(env);
    const drawn = [0, 0];
    const fast = s.add(() => { drawn[0]!++; fast.dirty(); }, { everyMs: 0 });
    const slow = s.add(() => { drawn[1]!++; slow.dirty(); }, { everyMs: 200 });
    fast.dirty();
    slow.dirty();
    env.advance(10_000, hz);
    assert.ok(drawn[0]! <= 640 && drawn[0]! >= 250, `${drawn[0]} draws in 10 s at ${hz} Hz`);
    assert.ok(drawn[1]! <= 51 && drawn[1]! >= 40, `${drawn[1]} draws of one that may draw 5 times a second, at ${hz} Hz`);
    s.close();
    assert.deepEqual(env.waiting, { frames: 0, timers: 0 });
  }
});

test("scheduler: a hidden tab draws nothing, and what is dirty comes when it is seen", () => {
  const env = new StoodEnv();
  const s = new Scheduler(env);
  let drawn = 0;
  const d = s.add(() => drawn++);
  env.show(false);
  d.dirty();
  env.advance(60_000);
  assert.equal(drawn, 0);
  assert.deepEqual(env.waiting, { frames: 0, timers: 0 });
  env.show(true);
  env.advance(100);
  assert.equal(drawn, 1);
});

test("scheduler: drawing that costs too much is stretched to 15 % of the time, fairly, and comes back", () => {
  const env = new StoodEnv();
  const s = new Scheduler(env);
  const counts = new Array<number>(20).fill(0);
  let cost = 5;
  const all = counts.map((_, i) => {
    const d = s.add(() => {
      env.ms += cost;
      counts[i]!++;
      d.dirty();
    }, { everyMs: 100 });
    d.dirty();
    return d;
  });
  env.advance(20_000);
  counts.fill(0);
  env.advance(10_000);
  const spent = (counts.reduce((a, b) => a + b, 0) * cost) / 10_000;
  assert.ok(spent < 0.2, `drawing takes ${spent} of the time`);
  assert.ok(Math.min(...counts) > 0 && Math.max(...counts) - Math.min(...counts) <= 2, `unfair: ${counts.join(" ")}`);
  cost = 0.01;
  env.advance(30_000);
  assert.equal(s.stretch, 1);
  assert.equal(all.length, 20);
});

test("scheduler: one that fails does not stop the others", () => {
  const env = new StoodEnv();
  const s = new Scheduler(env);
  let drawn = 0;
  const bad = s.add(() => { throw new Error("bad"); });
  const good = s.add(() => drawn++);
  bad.dirty();
  good.dirty();
  assert.throws(() => env.advance(1000), /bad/, "the error is thrown where the page sees it");
  env.advance(1000);
  assert.equal(drawn, 1);
});
