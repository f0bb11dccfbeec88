import assert from "node:assert/strict";
import { test } from "node:test";
import { decimalsOf, Extractor, MAX_TEXT, Payload, sentTimeUs, type Source } from "./payload.ts";
import { parsePointer } from "./pointer.ts";
import { rng, seeds } from "./testkit.ts";

function source(text: string): Source {
  return { isText: true, text: () => text, bytes: new TextEncoder().encode(text) };
}

function bytes(...b: number[]): Source {
  const raw = Uint8Array.from(b);
  return { isText: false, text: () => new TextDecoder().decode(raw), bytes: raw };
}

const markup = `<img src=x onerror="alert(1)">`;

const rows: { name: string; payload: Source; pointer?: string; want: Record<string, unknown>; unit?: string; at?: string }[] = [
  { name: "number", payload: source("21.50"), want: { kind: "number", number: 21.5, text: "21.50", exact: true } },
  { name: "number with white space", payload: source(" -3e2\n"), want: { kind: "number", number: -300 } },
  { name: "what JSON does not call a number", payload: source("+5"), want: { kind: "text", text: "+5" } },
  { name: "hexadecimal", payload: source("0x10"), want: { kind: "text" } },
  { name: "NaN", payload: source("NaN"), want: { kind: "nan", text: "NaN" } },
  { name: "infinity", payload: source("-Infinity"), want: { kind: "nan" } },
  { name: "beyond doubles", payload: source("1e999"), want: { kind: "nan", text: "1e999" } },
  { name: "beyond what history keeps", payload: source("1e291"), want: { kind: "nan" } },
  { name: "whole number beyond 2^53", payload: source("9007199254740993"), want: { kind: "number", exact: false, text: "9007199254740993" } },
  { name: "long number text", payload: source("1" + "0".repeat(5000)), want: { kind: "nan" } },
  { name: "bool", payload: source("true"), want: { kind: "bool", number: 1 } },
  { name: "null", payload: source("null"), want: { kind: "empty", text: "null" } },
  { name: "empty", payload: source(""), want: { kind: "empty", text: "" } },
  { name: "text", payload: source("running"), want: { kind: "text", text: "running", bytes: 7 } },
  { name: "markup is text", payload: source(markup), want: { kind: "text", text: markup } },
  { name: "binary", payload: bytes(0, 255, 254), want: { kind: "binary", bytes: 3, text: "" } },
  { name: "control characters are binary", payload: source("a\u001b[2Jb"), want: { kind: "binary" } },
  { name: "object with value", payload: source(`{"value":7,"n":2,"unit":"bar"}`), want: { kind: "number", number: 7 }, unit: "bar", at: "/value" },
  { name: "object with one number", payload: source(`{"t/1":7.25,"name":"x"}`), want: { kind: "number", number: 7.25 }, at: "/t~11" },
  { name: "object with two numbers", payload: source(`{"a":1,"b":2}`), want: { kind: "json", text: `{"a":1,"b":2}` } },
  { name: "array", payload: source(`[1,2]`), want: { kind: "json" } },
  { name: "pointer", payload: source(`{"m":{"rpm":[10,20]},"unit":"no"}`), pointer: "/m/rpm/1", want: { kind: "number", number: 20 }, unit: "", at: "/m/rpm/1" },
  { name: "pointer with escapes", payload: source(`{"a/b":{"c~d":true}}`), pointer: "/a~1b/c~0d", want: { kind: "bool", number: 1 } },
  { name: "number in a string", payload: source(`{"t":"21.5"}`), pointer: "/t", want: { kind: "number", number: 21.5, text: "21.5" } },
  { name: "pointer to nothing", payload: source(`{"a":1}`), pointer: "/b", want: { kind: "missing" } },
  { name: "pointer into a plain text", payload: source("hello"), pointer: "/b", want: { kind: "missing" } },
  { name: "no prototype is reached", payload: source(`{"a":1}`), pointer: "/__proto__/toString", want: { kind: "missing" } },
  { name: "an own member of that name", payload: source(`{"__proto__":3}`), pointer: "/__proto__", want: { kind: "number", number: 3 } },
  { name: "no length of an array", payload: source(`[1]`), pointer: "/length", want: { kind: "missing" } },
  { name: "nested below a pointer", payload: source(`{"a":{"b":[{}]}}`), pointer: "/a", want: { kind: "json", text: `{"b":[{}]}` } },
  { name: "nested deeply", payload: source("[".repeat(20_000) + "]".repeat(20_000)), want: { kind: "json" } },
  { name: "half of a nesting", payload: source("[".repeat(20_000)), want: { kind: "text" } },
];

for (const r of rows) {
  test(`payload: ${r.name}`, () => {
    const { value, unit, pointer } = new Extractor(r.pointer ?? null).extract(new Payload(r.payload));
    for (const [k, v] of Object.entries(r.want)) assert.deepEqual((value as unknown as Record<string, unknown>)[k], v, `${k} of ${JSON.stringify(value).slice(0, 200)}`);
    if (r.unit !== undefined) assert.equal(unit, r.unit);
    if (r.at !== undefined) assert.equal(pointer, r.at);
    assert.ok(value.text.length <= MAX_TEXT + 1, "long texts are cut");
  });
}

test("payload: nothing throws, whatever the bytes", () => {
  for (const seed of seeds(300)) {
    const r = rng(seed);
    const pieces = ["{", "}", "[", "]", '"a"', ":", ",", "1", "-", "e9", "NaN", "null", "true", "\\ud800", "\u0000", "é", "😀", " ", '"unit"', "<b>"];
    const text = Array.from({ length: r.int(40) }, () => r.pick(pieces)).join("");
    const raw = Uint8Array.from({ length: r.int(40) }, () => r.int(256));
    for (const s of [source(text), bytes(...raw), { isText: true, text: (): string => { throw new Error("broken"); }, bytes: raw }]) {
      const p = new Payload(s);
      for (const pointer of [null, "", "/a", "/0/a", "/"]) {
        const before = new Extractor(pointer).extract(p);
        p.seal();
        assert.deepEqual(new Extractor(pointer).extract(p).value.kind, before.value.kind, `seed ${seed}: sealing changes what ${JSON.stringify(text)} is at ${pointer}`);
      }
    }
  }
});

test("payload: a long text is cut when it is sealed, and no surrogate pair", () => {
  const p = new Payload(source("😀".repeat(5000)));
  p.seal();
  assert.ok(p.text.length <= MAX_TEXT + 1);
  assert.ok(!/[\ud800-\udbff]…/.test(p.text), "the cut is within a pair");
  assert.equal(p.bytes, 20_000);
});

test("payload: what is small is what it was for who asks later, and what was cut says so", () => {
  const small = new Payload(source(`{"a":{"b":1}}`));
  small.seal();
  assert.equal(new Extractor("/a/b").extract(small).value.kind, "number");
  assert.notEqual(small.document, small.document, "it is parsed when it is asked for, and not held");
  const large = new Payload(source(`{"a":1,"b":"${"x".repeat(MAX_TEXT)}"}`));
  assert.equal(new Extractor(null).extract(large).value.kind, "number");
  large.seal();
  assert.equal(new Extractor(null).extract(large).value.kind, "json");
  assert.match(new Extractor("/a").extract(large).value.text, /too large/);
});

test("pointer: a malformed one says how to mend it", () => {
  assert.throws(() => parsePointer("temperature"), /begins with \/, such as \/temperature/);
  assert.throws(() => parsePointer("/a~b"), /a ~ is written ~0/);
});

test("payload: digits behind the point", () => {
  for (const [text, want] of [["21", 0], ["21.50", 2], ["1e-3", 3], ["1.5e2", 0], ["-0.001", 3], ["1.25e1", 1], ["true", 0]] as const) assert.equal(decimalsOf(text), want, text);
});

test("payload: times that sensors state", () => {
  const n = (number: number) => ({ kind: "number", number, text: String(number), exact: true }) as const;
  const t = (text: string) => ({ kind: "text", text, bytes: text.length }) as const;
  assert.equal(sentTimeUs(n(1767323045), "s"), 1767323045e6);
  assert.equal(sentTimeUs(n(1767323045123), "ms"), 1767323045123e3);
  assert.equal(sentTimeUs(t("2026-01-02T03:04:05.123456Z"), "ms"), 1767323045123456);
  assert.equal(sentTimeUs(t("2026-01-02T04:04:05+01:00"), "ms"), 1767323045e6);
  assert.equal(sentTimeUs(n(5), "s"), null, "1970 is no time of a sensor");
  assert.equal(sentTimeUs(t("yesterday"), "s"), null);
});
