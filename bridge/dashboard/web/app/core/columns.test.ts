import assert from "node:assert/strict";
import { test } from "node:test";
import { Band, stepFor } from "./band.ts";
import { columns, summary, type Line } from "./columns.ts";
import { Formats } from "./format.ts";
import { rng, seeds } from "./testkit.ts";
import { describe } from "./words.ts";

const s = 1e6;

function line(band: Band, more: Partial<Line> = {}): Line {
  return { band, marks: [], breakUs: Infinity, breakFromUs: -Infinity, stepped: false, ...more };
}

test("band: statistics are those of the points, in whatever order they come", () => {
  for (const seed of seeds(100)) {
    const r = rng(seed);
    const stepUs = r.pick([1, 7, 1000, 1e6]);
    const size = 1 + r.int(40);
    const band = new Band(stepUs, size);
    const first = r.int(1e6);
    const want = new Map<number, number[]>();
    const newest = first + size - 1; // all of them fit
    band.fold(newest * stepUs, 1);
    want.set(newest, [1]);
    for (let i = 0; i < 300; i++) {
      const index = first + r.int(size);
      const v = Math.round(r.next() * 1000);
      want.set(index, [...(want.get(index) ?? []), v]);
      if (r.int(4) > 0) band.fold(index * stepUs + r.int(stepUs), v);
      else band.add(index * stepUs, 1, v, v, v, v);
    }
    const got = new Map<number, number[]>();
    band.each(first * stepUs, (newest + 1) * stepUs, (b) => got.set(b.index, [b.count, b.min, b.max, b.sum]));
    for (const [index, all] of want) assert.deepEqual(got.get(index), [all.length, Math.min(...all), Math.max(...all), all.reduce((a, b) => a + b, 0)], `seed ${seed}: bucket ${index}`);
    assert.equal(got.size, want.size, `seed ${seed}`);
  }
});

test("band: the newest push the oldest out; a bounded one takes its own time alone", () => {
  const band = new Band(10, 4);
  for (let t = 0; t < 1000; t += 10) band.fold(t, t);
  band.fold(5, 1); // long gone
  const held: number[] = [];
  band.each(0, 2000, (b) => held.push(b.index));
  assert.deepEqual(held, [96, 97, 98, 99]);
  const fixed = new Band(10, 4);
  fixed.bound(100, 140);
  for (let t = 0; t < 1000; t += 10) fixed.fold(t, t);
  held.length = 0;
  fixed.each(0, 2000, (b) => held.push(b.index));
  assert.deepEqual(held, [10, 11, 12, 13]);
});

test("band: steps are whole milliseconds, and as fine as the buckets allow", () => {
  for (const span of [1, 59, 600, 3600, 86400, 604800, 3e7, 3e9]) {
    for (const n of [60, 400, 1200]) {
      const step = stepFor(span * s, n);
      assert.equal(step % 1000, 0);
      assert.ok((span * s) / step <= n, `${span} s in ${n}: ${step}`);
      if (step >= 60 * s) assert.equal(step % (60 * s), 0, "the bridge's statistics of minutes answer it");
    }
  }
});

test("columns: gaps and silence break the line, missing columns do not", () => {
  const band = new Band(s, 100);
  for (const t of [0, 1, 2, 5, 6, 20, 21]) band.fold(t * s, t);
  const cells = (more: Partial<Line>): string => (columns([line(band, more)], 1 * s, 23 * s).y[0]?.line ?? []).map((c) => (c === undefined ? "." : c === null ? "|" : "x")).join("");
  assert.equal(cells({}), "xxx..xx.............xx.");
  assert.equal(cells({ breakUs: 4 * s }), "xxx..xx|||||||||||||xx.");
  assert.equal(cells({ breakUs: 4 * s, breakFromUs: 10 * s }), "xxx..xx.............xx.", "before, values may be of longer steps");
  assert.equal(cells({ marks: [{ kind: "gap", fromUs: 3 * s, toUs: 4.9 * s, count: 1, reason: "evicted" }] }), "xxx||xx.............xx.");
  assert.equal(cells({ marks: [{ kind: "gap", fromUs: 5.2 * s, toUs: 5.9 * s, count: 1, reason: "evicted" }] }), "xxx..xx.............xx.", "within one column the mark alone shows it");
  assert.equal(cells({ marks: [{ kind: "gap", fromUs: 10 * s, toUs: 12 * s, count: 1, reason: "evicted" }] }), "xxx..xx|||||||||||||xx.", "from value to value: uPlot would draw a line up to the gap");
});

test("columns: what is no number breaks the line where it came", () => {
  const band = new Band(s, 100);
  band.fold(0, 1);
  band.fold(1 * s, NaN);
  band.fold(2 * s, 3);
  assert.deepEqual(columns([line(band)], 0, 3 * s).y[0]?.line, [undefined, 1, null, 3]);
});

test("columns: x rises and never leaves the window; min ≤ line ≤ max", () => {
  for (const seed of seeds(50)) {
    const r = rng(seed);
    const step = stepFor((1 + r.int(1000)) * s, 100);
    const band = new Band(step, 120);
    const t0 = 1.7e15 + r.int(1e9);
    const to = t0 + 100 * step;
    for (let i = 0; i < 500; i++) band.fold(t0 + r.next() * 100 * step, r.next());
    const c = columns([line(band)], t0, to);
    for (let i = 1; i < c.x.length; i++) assert.ok((c.x[i] as number) > (c.x[i - 1] as number), `seed ${seed}: x falls at ${i}`);
    assert.ok((c.x[c.x.length - 1] as number) <= to / 1e6, `seed ${seed}: beyond the window`);
    c.y[0]?.line.forEach((v, i) => {
      if (typeof v === "number") assert.ok(v >= (c.y[0]?.min[i] as number) - 1e-12 && v <= (c.y[0]?.max[i] as number) + 1e-12, `seed ${seed}`);
    });
  }
});

test("words: the text alternative says last, lowest, highest, trend, gaps and why it is not live", () => {
  const band = new Band(s, 100);
  for (let t = 0; t < 60; t++) band.fold(t * s, 20 + t / 10);
  const sum = summary(band, 0, 60 * s);
  assert.deepEqual([sum.count, sum.min, sum.max, sum.last, sum.trend], [60, 20, 25.9, 25.9, "rising"]);
  const text = describe(
    {
      title: "Press 7", fromUs: 0, toUs: 60 * s, following: true, note: "12 of 40 topics drawn",
      lines: [{ name: "oil", unit: "°C", digits: { digits: 1 }, summary: sum, why: "no message for 12 s; one every 1.0 s is usual" }],
      marks: [{ kind: "gap", fromUs: 3 * s, toUs: 5 * s, count: 1200, reason: "evicted" }, { kind: "conflated", fromUs: 0, toUs: 1, count: 3, reason: "" }],
    },
    new Formats("en-GB"),
  );
  assert.match(text, /^Press 7, the last 60 s\. oil: last 25\.9 °C, lowest 20\.0 °C, highest 25\.9 °C, rising; not live: no message for 12 s; one every 1\.0 s is usual\. One gap at .* of 2\.0 s, 1,200 entries missing\. 3 readings were left out for newer ones\. 12 of 40 topics drawn\.$/);
  const flat = new Band(s, 10);
  flat.fold(0, 5);
  assert.equal(summary(flat, 0, 10 * s).trend, "");
  assert.match(describe({ title: "", fromUs: 0, toUs: s, following: true, note: "", lines: [], marks: [] }, new Formats("en-GB")), /^Chart, the last 1\.0 s\. No topic yet\.$/);
});
