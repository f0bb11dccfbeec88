import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketOf, Latencies, topOf } from "./latency.ts";
import { nameLines, unitOf, type LineState } from "./lines.ts";
import { Ring } from "./ring.ts";
import { rng, seeds } from "./testkit.ts";
import { Counter, covers, isExact, matches, minimal, shortNames, wildPart } from "./topics.ts";

test("ring: holds the newest, says what left, and does not grow beyond its size", () => {
  for (const seed of seeds(30)) {
    const r = rng(seed);
    const most = 1 + r.int(300);
    const ring = new Ring(most);
    const all: [number, number, number, number][] = [];
    const n = r.int(1000);
    for (let i = 0; i < n; i++) {
      const p: [number, number, number, number] = [i * 10, r.next(), i, Math.floor(i / 100)];
      all.push(p);
      ring.push(...p);
    }
    const held: number[][] = [];
    ring.each((...p) => held.push(p));
    assert.deepEqual(held, all.slice(Math.max(0, n - most)), `seed ${seed}`);
    const left = all[n - most - 1];
    assert.deepEqual([ring.leftChain, ring.leftOffset], left === undefined ? [-1, -1] : [left[3], left[2]], `seed ${seed}: what left`);
    assert.ok(ring.bytes <= 32 * Math.max(most, 64), `seed ${seed}: ${ring.bytes} bytes for ${most} points`);
  }
});

test("latency: quantiles are never below the true ones, and at most 4.5 % above", () => {
  for (const seed of seeds(20)) {
    const r = rng(seed);
    const all = Array.from({ length: 1 + r.int(2000) }, () => Math.exp(r.next() * 18));
    const l = new Latencies();
    for (const us of all) l.add(us, 1000);
    all.sort((a, b) => a - b);
    const got = l.read(1000, 100, "");
    for (const [q, is] of [[0.5, got.p50Us], [0.99, got.p99Us]] as const) {
      const want = all[Math.ceil(q * all.length) - 1] as number;
      assert.ok(is >= want * 0.999999 && is <= want * 1.045, `seed ${seed}: p${q * 100} is ${is}, want ${want}`);
    }
    assert.equal(got.maxUs, all[all.length - 1]);
    assert.equal(got.count, all.length);
  }
});

test("latency: a minute later nothing of it is left; negative ones count as 0", () => {
  const l = new Latencies();
  l.add(5000, 0);
  l.add(-300, 29_000);
  assert.equal(l.read(31_000, 0, "").count, 2);
  assert.equal(l.read(59_000, 0, "").count, 2);
  assert.equal(l.read(61_000, 0, "").count, 0);
  assert.ok(Number.isNaN(l.read(61_000, 0, "").p50Us));
  for (const us of [-5, 0, 1, 2, 1e3, 1e6, 1e12, Infinity]) assert.ok(topOf(bucketOf(us)) > 0, String(us));
});

/** What the standard says, the slow way. */
function matchesPlainly(filter: string, topic: string): boolean {
  const f = filter.split("/");
  const t = topic.split("/");
  if (topic.startsWith("$") && (f[0] === "+" || f[0] === "#")) return false;
  for (let i = 0; i < f.length; i++) {
    if (f[i] === "#") return true;
    if (i >= t.length || (f[i] !== "+" && f[i] !== t[i])) return false;
    if (i === t.length - 1 && f.length === i + 2 && f[i + 1] === "#") return true;
  }
  return f.length === t.length;
}

test("topics: matching is the standard's, and covering follows from it", () => {
  for (const seed of seeds(2000)) {
    const r = rng(seed);
    const level = (): string => r.pick(["a", "b", "+", "", "$x", "c"]);
    const make = (wild: boolean): string => {
      let levels = Array.from({ length: 1 + r.int(4) }, level);
      if (!wild) levels = levels.map((l) => (l === "+" ? "a" : l));
      else if (r.int(3) === 0) levels.push("#");
      return levels.join("/") || "a";
    };
    const filter = make(true);
    const other = make(true);
    const topic = make(false);
    assert.equal(matches(filter, topic), matchesPlainly(filter, topic), `seed ${seed}: ${filter} and ${topic}`);
    if (covers(filter, other) && matches(other, topic)) assert.ok(matches(filter, topic), `seed ${seed}: ${filter} covers ${other}, but does not take ${topic}`);
  }
  assert.ok(covers("plant/#", "plant") && covers("plant/#", "plant/+/t") && covers("#", "+/a") && covers("+/t", "a/t"));
  assert.ok(!covers("plant/+", "plant/#") && !covers("#", "$SYS/a") && !covers("+/t", "#"));
  assert.deepEqual(minimal(["a/b", "a/#", "c", "a/+", "c"]), ["a/#", "c"]);
  assert.equal(wildPart("plant/+/press/#", "plant/7/press/oil/t"), "7/oil/t");
  assert.equal(wildPart("plant/#", "plant"), "plant");
  assert.deepEqual(shortNames(["a/b/1/s", "a/b/2/s"]), ["1", "2"]);
  assert.deepEqual(shortNames(["a/b", "a/b/c", "x"]), ["a/b", "a/b/c", "x"]);
  assert.deepEqual(shortNames(["a/b/c"]), ["c"]);
  assert.ok(isExact("a/b+c") && !isExact("a/+") && !isExact("#"));
});

test("topics: distinct names are counted once, up to a bound", () => {
  const c = new Counter(5000);
  for (let i = 0; i < 20_000; i++) c.add(`plant/${i % 4000}/temperature`);
  assert.equal(c.count, 4000);
  assert.ok(!c.isMore);
  for (let i = 0; i < 20_000; i++) c.add(`other/${i}`);
  assert.equal(c.count, 5000);
  assert.ok(c.isMore);
});

test("lines: names and units of strangers turn no text round", () => {
  const line = (topic: string, label: string, unit: string): LineState => ({ item: { topic, rawUnit: unit }, spec: { filter: "#", label }, alone: false, name: "", colour: "", hidden: false }) as unknown as LineState;
  const lines = [line("a/\u202eb", "", "\u202eW"), line("c", "\u2066label", "")];
  nameLines(lines);
  assert.deepEqual(lines.map((l) => [l.name, unitOf(l)]), [["a/⟨U+202E⟩b", "⟨U+202E⟩W"], ["⟨U+2066⟩label", ""]]);
});
