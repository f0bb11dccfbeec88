import assert from "node:assert/strict";
import { test } from "node:test";
import { visible } from "../dom.ts";
import { numberOf } from "../form.ts";
import { makeFormat } from "../format.ts";
import { deviceKey, inOrder, Roster } from "../roster.ts";
import { counts, setLetters } from "../keys.ts";
import { isMe, reasonOf, sayReason, tokenFault } from "../session.ts";
import { matches } from "../../core/topics.ts";
import { allowed } from "../topic.ts";

test("what cannot be seen is spelled out, what is long is cut between characters", () => {
  assert.equal(visible("a\u202eb\u0000\u200b"), "a⟨U+202E⟩b␀⟨U+200B⟩");
  assert.equal(visible("<script>alert(1)</script>"), "<script>alert(1)</script>");
  assert.equal(visible("😀".repeat(10), 6), "😀😀…");
  assert.equal(visible("x".repeat(300)).length, 200);
});

test("numbers as the reader's language writes them", () => {
  const de = makeFormat("de"), en = makeFormat("en-GB");
  assert.equal(de.number(12345.5, 1), "12.345,5");
  assert.equal(en.number(12345.5, 1), "12,345.5");
  assert.equal(en.number(-0.5), "−0.500");
  assert.equal(en.number(-0.0001, 1), "0.0");
  assert.equal(de.number(NaN), "not a number");
  assert.equal(en.number(-Infinity), "−∞");
  assert.equal(en.number(1.5e308), "1.50·10³⁰⁸");
  assert.equal(en.number(0), "0.00");
  assert.equal(makeFormat("no language").locale.length > 0, true);
  assert.equal(en.age(-5), "0\u00a0s");
  assert.equal(en.age(100), "1\u00a0min");
  assert.equal(en.age(NaN), "–");
  assert.equal(en.clock(Infinity), "–");
});

test("decimal commas are numbers, and what is none stays a text for the check", () => {
  assert.equal(numberOf("1,5"), 1.5);
  assert.equal(numberOf(" −2 "), -2);
  assert.equal(numberOf(""), undefined);
  assert.equal(numberOf("1.000,5"), "1.000,5");
  assert.equal(numberOf("x"), "x");
});

const second = 1_000_000;

test("a device is told by a level of its topics", () => {
  assert.equal(deviceKey("a/b/c", 1), "a/b");
  assert.equal(deviceKey("a/b", 2), null);
  assert.equal(deviceKey("a/b/", 2), "a/b/");
  assert.equal(deviceKey("", 0), "");
});

test("who said offline is offline until heard again, who is online and silent is not online", () => {
  const r = new Roster({ level: 1, online: ["online"], offline: ["offline"], staleAfterS: 10 });
  r.status("s/a/availability", "online", 0);
  r.heard("s/a/state", 1 * second, 1, true);
  const a = r.devices.get("s/a");
  assert.ok(a);
  assert.equal(r.presence(a, 2 * second), "online");
  assert.equal(r.presence(a, 12 * second), "silent");
  r.status("s/a/availability", '{"state":"OFFLINE"}', 13 * second);
  assert.equal(r.presence(a, 13 * second), "offline");
  r.heard("s/a/state", 20 * second, 1, true);
  assert.equal(r.presence(a, 20 * second), "heard");
  r.status("s/b/availability", "offline", 1 * second);
  r.status("s/c/availability", "what?", 1 * second);
  assert.deepEqual(inOrder(r, 20 * second).map((d) => d.name), ["b", "c", "a"]);
  assert.equal(r.presence(r.devices.get("s/c") as never, 20 * second), "silent");
});

test("without a limit of seconds a device is silent once none of its topics keeps to its rhythm", () => {
  const r = new Roster({ level: 0, online: ["online"], offline: [] });
  r.status("a/availability", "online", 0);
  r.heard("a/slow", 0, 1, true, 60 * second);
  r.heard("a/x", 1 * second, 1, true, 3 * second);
  r.heard("a/once", 62 * second, 1, true, NaN);
  const a = r.devices.get("a");
  assert.ok(a);
  assert.equal(r.presence(a, 59 * second), "online");
  assert.equal(r.presence(a, 66 * second), "online", "it spoke four seconds ago");
  assert.equal(r.presence(a, 68 * second), "silent");
  r.status("b/availability", "online", 0);
  r.heard("b/x", 0, 1, true, NaN);
  assert.equal(r.presence(r.devices.get("b") as never, 9999 * second), "online", "no rhythm is known");
});

test("rates are of the last seconds that are over, and fall to nothing in silence", () => {
  const r = new Roster({ level: 0, online: [], offline: [] });
  r.heard("a/x", 0, 5, false); // held: no message of now
  for (let s = 1; s <= 20; s++) r.heard("a/x", s * second, 4, true);
  const a = r.devices.get("a");
  assert.ok(a);
  assert.equal(a.topics, 1);
  assert.equal(r.rate(a, 21 * second), 4);
  assert.equal(r.rate(a, 40 * second), 0);
});

test("grants and filters as the bridge reads them", () => {
  for (const [f, t] of [["#", "a"], ["a/#", "a"], ["a/+", "a/"], ["+/b", "a/b"], ["$SYS/#", "$SYS/x"]] as const) assert.ok(matches(f, t), `${f} ${t}`);
  for (const [f, t] of [["#", "$SYS/x"], ["+/x", "$SYS/x"], ["a/+", "a"], ["a", "a/b"], ["a/b", "a"]] as const) assert.ok(!matches(f, t), `${f} ${t}`);
  assert.ok(!allowed(undefined, "a") && !allowed([], "a") && allowed(["b", "a/#"], "a/c"));
});

test("tokens are looked at before they are sent, and refusals are put into words", async () => {
  for (const good of ["eyJh.eyJz.x7Kd-_", "K7QM2-RXV9D", " k7qm2rxv9d "]) assert.equal(tokenFault(good), "", good);
  for (const bad of ["", "a.b", "a.b.c\nd", "a.b.<c>", `a.b.${"c".repeat(4000)}`]) assert.notEqual(tokenFault(bad), "", bad.slice(0, 10));
  assert.match(sayReason(401, "expired"), /has expired/);
  assert.match(sayReason(0, ""), /does not answer/);
  assert.match(sayReason(401, "toString", "odd"), /odd/);
  assert.deepEqual(await reasonOf(new Response('{"reason":"revoked","detail":"d"}')), { reason: "revoked", detail: "d" });
  assert.deepEqual(await reasonOf(new Response("<html>")), { reason: "", detail: "" });
});

test("nothing but the bridge's own answer says who is signed in", () => {
  const grants = { live: ["#"], snapshot: [], history: [], publish: [] };
  const me = { subject: "anna", expires: "2026-01-01T00:00:00Z", node: "n", version: "v", websocket: "/ws", grants };
  assert.ok(isMe(me));
  for (const other of [null, "<html>", [], {}, { ...me, subject: 1 }, { ...me, grants: null }, { ...me, grants: { ...grants, publish: "#" } }]) assert.ok(!isMe(other), JSON.stringify(other));
  assert.match(sayReason(0, "other"), /Something else than the bridge/);
});

test("single letters, digits and signs can be switched off, named keys stay", () => {
  const keys = ["a", "7", "?", "ä", "𝒶", "ArrowLeft", "Escape"];
  assert.deepEqual(keys.map(counts), keys.map(() => true));
  setLetters(false);
  assert.deepEqual(keys.map(counts), [false, false, false, false, false, true, true]);
  setLetters(true);
  assert.ok(counts("a"));
});
