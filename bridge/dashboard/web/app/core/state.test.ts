import assert from "node:assert/strict";
import { test } from "node:test";
import { Alarms, AlarmSource } from "./alarms.ts";
import { checkLimits, Judge } from "./judge.ts";
import { Rhythm } from "./rhythm.ts";
import { rng, seeds } from "./testkit.ts";
import type { Level, Limits, Quality } from "./types.ts";

const s = 1e6;

test("rhythm: a topic that stops is stale soon after its rhythm says so, and not before", () => {
  for (const seed of seeds(50)) {
    const r = rng(seed);
    const usual = 0.05 * s + r.next() * 20 * s;
    const rhythm = new Rhythm();
    let t = 1e15;
    for (let i = 0; i < 40; i++) {
      if (i > 4) assert.equal(rhythm.judge(usual * 1.2, null), "live", `seed ${seed}: message ${i} of a topic that speaks every ${usual} µs`);
      rhythm.heard(t);
      t += usual * (0.8 + 0.4 * r.next());
    }
    assert.equal(rhythm.judge(usual * 4.5 + 0.6 * s, null), "stale", `seed ${seed}: limit ${rhythm.limitUs} for ${usual}`);
  }
});

test("rhythm: what is not known is not called live for long, nor what was configured otherwise", () => {
  const r = new Rhythm();
  r.heard(0);
  assert.equal(r.judge(1 * s, null), "live", "it has just come");
  assert.equal(r.judge(60 * s, null), "none", "nobody knows how often it comes");
  assert.equal(r.judge(60 * s, 90 * s), "live");
  assert.equal(r.judge(91 * s, 90 * s), "stale");
});

test("rhythm: a value held for days before the first message is no rhythm", () => {
  const r = new Rhythm();
  r.heard(0);
  for (let i = 0; i < 3; i++) r.heard(3 * 86400 * s + i * s);
  assert.equal(r.judge(20 * s, null), "stale", `limit ${r.limitUs}`);
});

test("rhythm: an outage of an hour is forgotten; a topic that became slower is learned", () => {
  const r = new Rhythm();
  let t = 0;
  for (let i = 0; i < 20; i++) r.heard((t += s));
  r.heard((t += 3600 * s));
  for (let i = 0; i < 5; i++) r.heard((t += s));
  assert.equal(r.judge(12 * s, null), "stale", `limit ${r.limitUs} after an outage`);
  for (let i = 0; i < 30; i++) r.heard((t += 60 * s));
  assert.equal(r.judge(70 * s, null), "live", `limit ${r.limitUs} at one a minute`);
});

test("judge: levels with hysteresis, in table form", () => {
  const limits: Limits = { alarmLow: -10, warnLow: 0, warnHigh: 80, alarmHigh: 90, hysteresis: 2 };
  const rows: [number[], Level[]][] = [
    [[50, 80, 79, 78.1, 78, 50], ["ok", "warning", "warning", "warning", "ok", "ok"]],
    [[50, 95, 89, 88.1, 88, 79, 77], ["ok", "alarm", "alarm", "alarm", "warning", "warning", "ok"]],
    [[50, -10, -8.1, -8, 1.9, 2], ["ok", "alarm", "alarm", "warning", "warning", "ok"]],
    [[95, -20, 50], ["alarm", "alarm", "ok"]],
    [[95, NaN, 95], ["alarm", "off", "alarm"]],
  ];
  for (const [values, want] of rows) {
    const j = new Judge(limits);
    assert.deepEqual(values.map((v, i) => j.take(v, i * s).level), want, values.join(" "));
  }
  const j = new Judge(limits);
  assert.deepEqual(j.take(95, 0), { level: "alarm", limit: 90, high: true });
  assert.deepEqual(j.take(-1, 0), { level: "warning", limit: 0, high: false });
});

test("judge: within its hysteresis a value never changes its level", () => {
  for (const seed of seeds(100)) {
    const r = rng(seed);
    const j = new Judge({ warnHigh: 80, hysteresis: 5 });
    let level: Level = "ok";
    let changes = 0;
    for (let i = 0; i < 200; i++) {
      const now = j.take(75.01 + r.next() * 4.98, i * s).level;
      if (now !== level) changes++;
      level = now;
    }
    assert.equal(changes, 0, `seed ${seed}: values between 75 and 80 only`);
  }
});

test("judge: a delay lets short peaks pass, and runs out without another value", () => {
  const j = new Judge({ warnHigh: 80, alarmHigh: 90, delayS: 5 });
  assert.equal(j.take(85, 0).level, "ok");
  assert.equal(j.take(50, 3 * s).level, "ok");
  assert.equal(j.take(85, 4 * s).level, "ok");
  assert.equal(j.take(95, 8 * s).level, "ok");
  assert.equal(j.tick(8.9 * s).level, "ok");
  assert.equal(j.tick(9 * s).level, "alarm", "from when it left its level; what it is at the end");
  assert.equal(j.take(50, 10 * s).level, "ok", "back at once");
});

test("judge: limits that contradict each other are refused with how to mend them", () => {
  assert.throws(() => checkLimits({ warnHigh: 90, alarmHigh: 80 }), /alarmHigh \(80\) lies below warnHigh \(90\): they rise/);
  assert.throws(() => checkLimits({ warnHigh: NaN }), /want a number/);
  assert.throws(() => checkLimits({ warnHigh: 1, hysteresis: -1 }), /hysteresis is -1: want 0 or more/);
  checkLimits({ alarmLow: 1, warnHigh: 1 });
});

function list(): { alarms: Alarms; told: () => number; source: (latch: boolean, quality?: () => Quality) => AlarmSource } {
  let told = 0;
  const alarms = new Alarms(() => told++);
  return { alarms, told: () => told, source: (latch, quality = () => "live") => new AlarmSource(alarms, { topic: "press/7", title: "Press 7", latch, quality }) };
}

test("alarms: stands, gets worse, ends; the worst is remembered", () => {
  const { alarms, source } = list();
  const a = source(false);
  a.signal({ level: "ok", text: "", timeUs: 0, severity: 0 });
  assert.equal(alarms.active.length, 0);
  a.signal({ level: "warning", text: "85 above 80", timeUs: 1, severity: 5 });
  alarms.acknowledge(alarms.active[0]?.id ?? "");
  assert.equal(alarms.active[0]?.acknowledged, true);
  a.signal({ level: "alarm", text: "91 above 90", timeUs: 2, severity: 1 });
  assert.equal(alarms.active[0]?.acknowledged, false, "it was the warning that was acknowledged");
  a.signal({ level: "off", text: "", timeUs: 3, severity: 0 });
  assert.equal(alarms.active.length, 1, "what cannot be judged has not become good");
  a.signal({ level: "warning", text: "82 above 80", timeUs: 4, severity: 2 });
  assert.equal(alarms.active[0]?.worst, "91 above 90");
  a.signal({ level: "ok", text: "", timeUs: 5, severity: 0 });
  assert.equal(alarms.active.length, 0);
  assert.deepEqual([alarms.history[0]?.sinceUs, alarms.history[0]?.endUs], [1, 5]);
});

test("alarms: a latched one waits for its acknowledgement, also of one that came while it waited", () => {
  const { alarms, source } = list();
  const a = source(true);
  a.signal({ level: "alarm", text: "x", timeUs: 1, severity: 1 });
  a.signal({ level: "ok", text: "", timeUs: 2, severity: 0 });
  assert.deepEqual(alarms.active.map((x) => [x.standing, x.latched]), [[false, true]]);
  a.signal({ level: "alarm", text: "y", timeUs: 3, severity: 1 });
  assert.deepEqual(alarms.active.map((x) => [x.text, x.standing]), [["y", true]]);
  assert.equal(alarms.history.length, 1);
  a.signal({ level: "ok", text: "", timeUs: 4, severity: 0 });
  for (const a of alarms.active) alarms.acknowledge(a.id);
  assert.equal(alarms.active.length, 0);
  assert.equal(alarms.history.length, 2);
  a.signal({ level: "alarm", text: "z", timeUs: 5, severity: 1 });
  assert.equal(alarms.active[0]?.acknowledged, false, "an acknowledgement is of one alarm");
});

test("alarms: acknowledged while it stands, it goes when it ends", () => {
  const { alarms, source } = list();
  const a = source(true);
  a.signal({ level: "alarm", text: "x", timeUs: 1, severity: 1 });
  for (const a of alarms.active) alarms.acknowledge(a.id);
  a.signal({ level: "ok", text: "", timeUs: 2, severity: 0 });
  assert.equal(alarms.active.length, 0);
});

test("alarms: one on a dead value says so; worst first, then what nobody has acknowledged", () => {
  const { alarms, source, told } = list();
  let quality: Quality = "live";
  const a = source(false, () => quality);
  const b = source(false);
  a.signal({ level: "warning", text: "a", timeUs: 1, severity: 1 });
  b.signal({ level: "alarm", text: "b", timeUs: 0, severity: 1 });
  assert.deepEqual(alarms.active.map((x) => x.text), ["b", "a"]);
  quality = "stale";
  const before = told();
  a.refresh();
  assert.equal(told(), before + 1);
  assert.equal(alarms.active[1]?.quality, "stale");
  a.close(9);
  assert.equal(alarms.active.length, 1, "nobody watches it any more");
  assert.deepEqual(alarms.history.map((x) => [x.text, x.endUs]), [["a; no longer watched", 9]]);
});

test("alarms: of more than can be listed the worst are, the rest is counted, and follows when there is room", () => {
  const { alarms, source } = list();
  const sources = Array.from({ length: 5_003 }, (_, i) => {
    const a = source(false);
    a.signal({ level: i === 5_002 ? "alarm" : "warning", text: String(i), timeUs: i, severity: 1 });
    return a;
  });
  assert.deepEqual([alarms.active.length, alarms.left, alarms.active[0]?.text], [5_000, 3, "5002"]);
  for (const a of sources.slice(10, 20)) a.signal({ level: "ok", text: "", timeUs: 9_000, severity: 0 });
  assert.deepEqual([alarms.active.length, alarms.left, alarms.active.some((a) => a.text === "0")], [4_993, 0, true]);
});
