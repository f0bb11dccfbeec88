import assert from "node:assert/strict";
import { test } from "node:test";
import { latencyShort, proofShort, sayState } from "../connection.ts";
import { makeFormat } from "../format.ts";
import type { Alarm, Level } from "../../core/index.ts";
import { askToAcknowledge } from "../acknowledge.ts";
import { calmOf, isSure } from "../tiles/alarms.ts";
import { failure, question } from "../tiles/command.ts";
import { shortNames } from "../tiles/common.ts";
import { shownAs } from "../tiles/devices.ts";
import { share, zones } from "../tiles/gauge.ts";
import { sparkPaths } from "../tiles/value.ts";

test("names show what tells topics apart", () => {
  assert.deepEqual([...shortNames(["s/a/1/state", "s/a/2/state", "s/b/1/state"]).values()], ["a/1", "a/2", "b/1"]);
  assert.deepEqual([...shortNames(["a/b"]).values()], ["a/b"]);
  assert.deepEqual([...shortNames(["a", "a/b"]).values()], ["a", "a/b"]);
});

test("scales bear every number", () => {
  assert.equal(share(5, 0, 10), 0.5);
  assert.equal(share(99, 0, 10), 1);
  assert.ok(Number.isNaN(share(Infinity, 0, 10)));
  assert.deepEqual(zones({ alarmLow: 1, warnLow: 2, alarmHigh: 9 }, 0, 10), [{ from: 0, to: 0.1, level: "alarm" }, { from: 0.1, to: 0.2, level: "warning" }, { from: 0.9, to: 1, level: "alarm" }]);
  const nan = NaN, f = (...n: number[]): Float64Array => Float64Array.of(...n);
  const [band, line] = sparkPaths({ fromUs: 0, stepUs: 1, min: f(1, nan, 2), max: f(1, nan, 4), last: f(1, nan, 3) });
  assert.equal(line.split("M").length - 1, 2, "a hole parts the line");
  assert.ok(!`${band}${line}`.includes("NaN"));
  assert.deepEqual(sparkPaths({ fromUs: 0, stepUs: 1, min: f(nan), max: f(nan), last: f(nan) }), ["", ""]);
  assert.ok(!sparkPaths({ fromUs: 0, stepUs: 1, min: f(0), max: f(0), last: f(0) })[1].includes("NaN"));
});

test("a command that was not confirmed says whether it may have been sent", () => {
  assert.match(failure({ reason: "timeout", sent: "perhaps" }), /It may have been sent/);
  assert.match(failure({ reason: "forbidden", sent: "no" }), /token does not allow it\. It was not sent/);
});

test("of a stranger's layout topic and payload are asked about, whatever it says itself", () => {
  const tile = { kind: "command", x: 0, y: 0, w: 2, h: 2, topic: "command/press-7/stop", payload: "now", label: "Show details" } as const;
  assert.equal(question(tile, "now", false), null);
  assert.equal(question({ ...tile, confirm: "Stop it?" }, "now", false)?.title, "Stop it?");
  for (const confirm of ["", "Show the details?"]) {
    const q = question({ ...tile, confirm }, "now", true);
    assert.match(q?.title ?? "", /not your own/);
    assert.ok(q?.details.includes("Topic: command/press-7/stop") && q.details.includes("Payload: now"));
  }
});

test("a device is online only while there is a connection", () => {
  assert.deepEqual(shownAs("online", true), ["ok", "Online"]);
  assert.deepEqual(shownAs("online", false), ["stale", "Online, last known"]);
});

test("nothing is out of its limits only where all is known", () => {
  assert.deepEqual(calmOf(true, [true, true]), { ok: true, text: "Nothing is out of its limits" });
  assert.equal(calmOf(true, []).ok, false);
  assert.match(calmOf(true, [true, false, false]).text, /2 of 3 values cannot be judged/);
  assert.equal(calmOf(true, [false]).ok, false);
  assert.match(calmOf(false, [true]).text, /not known/);
});

test("a value is judged while it is live and means something: a sensor that raves is not calm", () => {
  const item = (quality: "live" | "stale" | "none", level: Level, text: string): Parameters<typeof isSure>[0] => ({ quality: () => ({ quality, why: "", ageUs: 0 }), level, value: { kind: "text", text, bytes: 0 } });
  assert.ok(isSure(item("live", "ok", "21"), {}));
  for (const quality of ["stale", "none"] as const) assert.ok(!isSure(item(quality, "ok", "21"), {}));
  assert.ok(!isSure(item("live", "off", "NaN"), {}));
  const states = { idle: { level: "off" as const } };
  assert.ok(isSure(item("live", "off", " idle "), { states }));
  assert.ok(!isSure(item("live", "off", "toString"), { states }));
});

test("acknowledging takes those that were asked about, and says what it did", async () => {
  const alarm = (id: string, acknowledged = false): Alarm => ({ id, topic: "t", title: `Press ${id}`, level: "alarm", text: "91, above 90", worst: "", standing: true, acknowledged, latched: false, sinceUs: 0, endUs: null, quality: "live" });
  const said: string[] = [], done: string[] = [], say = (t: string): number => said.push(t);
  let active = [alarm("1"), alarm("2"), alarm("3", true)], asked = "";
  const list = { get active() { return active; }, acknowledge: (id: string): void => { done.push(id); } };
  await askToAcknowledge(list, say, async (q) => { asked = q; return false; });
  assert.deepEqual([asked, done, said.pop()], ["Acknowledge 2 alarms?", [], "Nothing is acknowledged."]);
  await askToAcknowledge(list, say, async () => { active = [...active, alarm("4")]; return true; });
  assert.deepEqual([done, said.pop()], [["1", "2"], "2 alarms acknowledged."]);
  active = [alarm("5")];
  await askToAcknowledge(list, say, async (q, details) => { asked = `${q} ${details.join()}`; return true; });
  assert.deepEqual([asked, said.pop()], ["Acknowledge this alarm? Press 5: 91, above 90", "Acknowledged: Press 5."]);
  active = [];
  await askToAcknowledge(list, say, async () => assert.fail("there is nothing to ask about"));
  assert.equal(said.pop(), "No alarm waits to be acknowledged.");
});

test("the connection in words: never live when it is not, and why", () => {
  const base = { phase: "open", transport: "websocket", fallback: null, reason: "", cause: null, attempt: 0, nextTryMs: null, session: null, draining: false, silentSinceMs: null, hidden: false, online: true } as const;
  assert.equal(sayState(base, 0).word, "Live");
  assert.deepEqual(sayState({ ...base, transport: "sse", fallback: { because: "a proxy strips it", sinceMs: 0 } }, 0), { mood: "fallback", word: "Live by server-sent events", why: "Values come by server-sent events: a proxy strips it" });
  assert.deepEqual(sayState({ ...base, phase: "waiting", reason: "the bridge is gone.", nextTryMs: 2100 }, 0), { mood: "down", word: "Disconnected", why: "The bridge is gone; next try in 3 s" });
  assert.equal(sayState({ ...base, phase: "refused", cause: { kind: "token", code: 4200, reason: "x" } }, 0).word, "Signed out");
  assert.equal(sayState({ ...base, phase: "waiting", online: false }, 0).word, "Offline");
  assert.equal(sayState({ ...base, draining: true }, 0).mood, "waiting");
  assert.deepEqual(sayState({ ...base, silentSinceMs: 1_000 }, 14_900), { mood: "waiting", word: "No sign of life", why: "Nothing has been heard of the bridge for 13 s, and it does not answer" });
});

test("latency is shown with its bound or not at all, completeness only where it is proved", () => {
  const en = makeFormat("en-GB"), l = { count: 10, p50Us: 1200, p99Us: 9000, maxUs: 9000, boundUs: 800, note: "" };
  assert.equal(latencyShort(l, en), "1.2 ms ± 0.80 ms");
  assert.equal(latencyShort({ ...l, boundUs: Infinity }, en), "");
  assert.equal(latencyShort({ ...l, count: 0 }, en), "");
  const health = { live: true, complete: true, missing: 0, gaps: 0, refused: 0 };
  assert.deepEqual(proofShort(health), { ok: true, text: "Complete" });
  assert.deepEqual(proofShort({ ...health, live: false }), { ok: true, text: "Complete so far" });
  assert.deepEqual(proofShort({ ...health, complete: false, missing: 7, gaps: 1 }), { ok: false, text: "7 missing" });
  assert.deepEqual(proofShort({ ...health, complete: false }), { ok: false, text: "Not proven yet" });
  assert.deepEqual(proofShort({ ...health, complete: false, refused: 1 }), { ok: false, text: "1 filter refused" });
  assert.deepEqual(proofShort({ ...health, complete: false, gaps: 1, refused: 1 }), { ok: false, text: "1 gap" });
});
