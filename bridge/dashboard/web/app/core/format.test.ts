import assert from "node:assert/strict";
import { test } from "node:test";
import { Formats, formatAge } from "./format.ts";
import { timeLabels, valueLabels } from "./labels.ts";
import { inOrder } from "./lines.ts";

const f = new Formats("en-GB");

test("format: numbers and units", () => {
  const rows: [number, string, { digits?: number; resolution?: number }, string, string][] = [
    [21.5, "°C", { resolution: 0.01 }, "21.50", "°C"],
    [-3, "°C", {}, "\u22123", "°C"],
    [-0.001, "°C", { digits: 1 }, "0.0", "°C"],
    [1234.5, "W", { resolution: 0.1 }, "1.2345", "kW"],
    [1234.5, "W", { digits: 1 }, "1.2", "kW"],
    [0.0042, "A", {}, "4.200", "mA"],
    [1500, "kW", {}, "1.500", "MW"],
    [0.5, "V", { digits: 2 }, "0.50", "V"],
    [12345, "kg", {}, "12,345", "kg"],
    [1234, "", {}, "1234", ""],
    [98.6, "%", { digits: 0 }, "99", "%"],
    [1e20, "", {}, "1.00·10²⁰", ""],
    [2.5e-12, "", {}, "2.5000·10⁻¹²", ""],
    [NaN, "V", {}, "not a number", "V"],
    [Infinity, "V", {}, "∞", "V"],
    [0, "W", { resolution: 0.1 }, "0.0", "W"],
    [1e-3, "m", {}, "1", "mm"],
    [5e-7, "um", {}, "500.0", "fm"],
  ];
  for (const [n, unit, o, text, shown] of rows) {
    const got = f.number(n, unit, o);
    assert.deepEqual([got.text, got.unit], [text, shown], `${n} ${unit} ${JSON.stringify(o)}`);
  }
});

test("format: separators are the locale's", () => {
  const de = new Formats("de-DE");
  assert.equal(de.number(12345.5, "kg", { digits: 1 }).text, "12.345,5");
  assert.equal(de.age(2_500_000), "2,5 s");
  assert.throws(() => new Formats("no such locale"), RangeError);
});

test("format: every finite number has a text that says the number again", () => {
  for (const n of [1, -1, 0.1, 999.9999, 1000, 123456, 1e-9, 1e15, -1e15, 1e14, 5e-324, 1e290, Math.PI, 2 ** 53]) {
    const { text, unit } = f.number(n, "W", { digits: 6 });
    const power = { q: -10, r: -9, y: -8, z: -7, a: -6, f: -5, p: -4, n: -3, µ: -2, m: -1, W: 0, k: 1, M: 2, G: 3, T: 4, P: 5, E: 6, Z: 7, Y: 8, R: 9, Q: 10 }[unit[0] ?? "W"] ?? 0;
    const plain = text.replace(/\u2212/g, "-").replace(/,/g, "");
    const [mantissa = "", raised = ""] = plain.split("·10");
    const exponent = [...raised].map((c) => (c === "⁻" ? "-" : String("⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(c)))).join("");
    const back = Number(mantissa) * 10 ** Number(exponent || 0) * 1000 ** power;
    assert.ok(Math.abs(back - n) <= Math.abs(n) * 0.01, `${n} is written ${text} ${unit}, which is ${back}`);
  }
});

test("format: ages", () => {
  for (const [us, want] of [[0, "0 µs"], [1500, "1.5 ms"], [42_000, "42 ms"], [200_000, "0.2 s"], [3e6, "3.0 s"], [59.6e6, "60 s"], [119e6, "119 s"], [120e6, "2 min"], [3600e6, "1 h"], [18_600e6, "5 h 10 min"], [259_200e6, "3 d"], [NaN, "an unknown time"], [-5, "0 µs"]] as const) {
    assert.equal(formatAge(us), want, String(us));
  }
});

test("labels: midnight is the date alone, which is no wider than a time may be", () => {
  const midnight = new Date(2026, 10, 27).getTime() / 1000;
  const labels = timeLabels([-2, -1, 0, 1].map((h) => midnight + h * 3600), new Formats("en-US"));
  assert.deepEqual(labels, ["22:00", "23:00", "11/27/2026", "01:00"]);
});

test("labels: lines have their places by series and name, whichever came first", () => {
  const series = [{ filter: "b" }, { filter: "a/+" }];
  const line = (at: number, topic: string) => ({ spec: series[at] as (typeof series)[number], item: { topic } });
  const got = inOrder([line(1, "a/2"), line(1, "a/10"), line(0, "b"), line(1, "a/1")], series).map((l) => l.item.topic);
  assert.deepEqual(got, ["b", "a/1", "a/10", "a/2"]);
});

test("labels: an axis has as many digits as its step needs, and one prefix", () => {
  const rows: [step: number, from: number, unit: string, want: string][] = [
    [0.25, 1, "bar", "1.00 1.25 1.50 1.75 bar"], [0.1, 0.1, "", "0.1 0.2 0.3 0.4"], [2.5, 0, "°C", "0.0 2.5 5.0 7.5 °C"], [5, 0, "%", "0 5 10 15 %"], [20, 40, "", "40 60 80 100"],
    [250, 1000, "W", "1.00 1.25 1.50 1.75 kW"], [0.025, 0, "", "0.000 0.025 0.050 0.075"],
  ];
  for (const [step, from, unit, want] of rows) {
    assert.equal(valueLabels([0, 1, 2, 3].map((i) => from + i * step), unit, f).join(" "), want, `a step of ${step}`);
  }
});
