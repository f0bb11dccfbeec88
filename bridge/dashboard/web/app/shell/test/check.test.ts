import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { autoLayout, filterLayout, partsOf } from "../auto.ts";
import { checkLayout, filterFault, pointerFault, readLayout, sayFaults, topicFault } from "../check.ts";
import { kinds } from "../fields.ts";
import { overlaps } from "../geometry.ts";
import { bounds, type Kind, type Layout, tilesOf } from "../layout.ts";
import { presets } from "../presets.ts";
import { layoutSchema } from "../schema.ts";
import { newTile } from "../tileform.ts";

function one(tile: Record<string, unknown>, more: Record<string, unknown> = {}): unknown {
  return { apiVersion: "plumbline/v1", kind: "Dashboard", title: "T", pages: [{ title: "P", groups: [{ tiles: [{ x: 0, y: 0, w: 3, h: 2, ...tile }] }] }], ...more };
}

function faults(value: unknown): string { return sayFaults(checkLayout(value).faults ?? []); }

test("good layouts pass: every preset, every new kind of tile once its empty fields are filled, what is made by itself", () => {
  for (const p of presets) assert.equal(faults(p.layout), "", p.id);
  for (const kind of Object.keys(kinds) as Kind[]) {
    const text = JSON.stringify(newTile(kind)).replace('"filter":""', '"filter":"a/#"').replace('"topic":""', '"topic":"a"');
    assert.equal(faults(one(JSON.parse(text) as Record<string, unknown>)), "", kind);
  }
  const seen = [{ topic: "a/b/c/state", kind: "json", text: '{"t":1,"deep":{"x":true},"s":"on"}' }, { topic: "a/b/c/availability", kind: "text", text: "online" }, { topic: "<b>/\u202e/x", kind: "number", text: "1" }];
  for (const l of [autoLayout(seen, ["#"]), autoLayout([], []), filterLayout("x/".repeat(100) + "#")]) assert.equal(faults(l), "");
});

test("each fault says where, what and how to mend it", () => {
  const cases: [unknown, RegExp][] = [
    [null, /^\/ is null, not an object; a layout begins/],
    [[], /^\/ is a list/],
    [{}, /\/apiVersion is missing; write "plumbline\/v1"\n\/kind is missing/],
    [one({ kind: "valeu", filter: "a" }), /\/pages\/0\/groups\/0\/tiles\/0\/kind is "valeu" \(did you mean value\?\)/],
    [one({ kind: "toString", filter: "a" }), /kind is "toString"; write one of value, chart/],
    [one({ kind: "__proto__", filter: "a" }), /is "__proto__"/],
    [one({ kind: "value", filter: "a", digit: 2 }), /tiles\/0\/digit is unknown \(did you mean digits\?\)/],
    [one({ kind: "value" }), /tiles\/0\/filter is missing; write a topic filter/],
    [one({ kind: "value", filter: "a/#/b" }), /# must be the whole last level/],
    [one({ kind: "value", filter: "a", x: 11 }), /w reaches column 14/],
    [one({ kind: "value", filter: "a", x: 1.5 }), /\/x is 1.5; write a whole number from 0 to 11/],
    [one({ kind: "value", filter: "a", digits: "2" }), /\/digits is "2"; write a whole number/],
    [one({ kind: "gauge", filter: "a", min: 5, max: 5 }), /\/max 5 is not above min 5/],
    [one({ kind: "value", filter: "a", limits: { warnHigh: 9, alarmHigh: 8 } }), /alarmHigh 8 is below warnHigh 9; order them/],
    [one({ kind: "value", filter: "a", pointer: "x" }), /a JSON pointer begins with \//],
    [one({ kind: "command", topic: "$SYS/x" }), /topics of the server/],
    [one({ kind: "command", topic: "a", input: "choice" }), /\/choices is missing; list what may be chosen/],
    [one({ kind: "state", filter: "a", states: { on: { level: "bad" } } }), /states\/on\/level is "bad"; write one of ok/],
    [one({ kind: "chart", windowS: 60, series: [] }), /\/series has 0 entries; write 1 to 12/],
    [one({ kind: "note", text: 5 }), /\/text is a number; write a text/],
    [one({ kind: "note", text: "x" }, { locale: "no language" }), /\/locale is "no language", no language tag/],
    [one({ kind: "note", text: "x" }, { rotateS: NaN }), /\/rotateS is null/],
    [one({ kind: "note", text: "x" }, { pages: [] }), /\/pages has 0 entries/],
  ];
  for (const [value, want] of cases) assert.match(faults(value), want);
});

test("a text that is none, or is too large, is refused and not parsed", () => {
  assert.match(sayFaults(readLayout("{").faults ?? []), /is not JSON/);
  assert.match(sayFaults(readLayout(" ".repeat(bounds.bytes + 1)).faults ?? []), /more than 64 KiB/);
  const many = one({ kind: "note", text: "x" }) as { pages: { groups: { tiles: unknown[] }[] }[] };
  const tiles = many.pages[0]?.groups[0]?.tiles as unknown[];
  while (tiles.length < bounds.tiles) tiles.push(tiles[0]);
  assert.equal(faults(many), "");
  (many.pages[0] as { groups: unknown[] }).groups.push({ tiles: [tiles[0]] });
  assert.match(faults(many), /hold 201 tiles/);
});

test("filters, topics and pointers by the letter", () => {
  for (const good of ["#", "+", "a/+/b/#", "/", "a//b", "$SYS/#", "ü/😀"]) assert.equal(filterFault(good), "", good);
  for (const bad of ["", "a#", "#/a", "a+/b", "a\u0000"]) assert.notEqual(filterFault(bad), "", bad);
  assert.equal(topicFault("a/b"), "");
  for (const bad of ["", "a/+", "#", "$x"]) assert.notEqual(topicFault(bad), "", bad);
  for (const good of ["", "/", "/a~0b~1c/0"]) assert.equal(pointerFault(good), "", good);
  for (const bad of ["a", "/a~2", "/a~"]) assert.notEqual(pointerFault(bad), "", bad);
});

test("no tile of a preset lies on another, and each preset has pages for a wall", () => {
  for (const p of presets) {
    for (const page of p.layout.pages) for (const g of page.groups) {
      g.tiles.forEach((a, i) => g.tiles.slice(i + 1).forEach((b) => assert.ok(!overlaps(a, b), `${p.id}, ${page.title}: ${a.title} and ${b.title}`)));
    }
    assert.ok(p.layout.pages.length >= 2 && tilesOf(p.layout).length >= 8, p.id);
  }
});

test("what is made by itself takes ten thousand topics and stays small", () => {
  const seen = Array.from({ length: 10_000 }, (_, i) => ({ topic: `site/${i % 37}/dev-${i}/value`, kind: i % 3 === 0 ? "text" : "number", text: String(i) }));
  const layout = autoLayout(seen, ["site/#"]);
  assert.equal(faults(layout), "");
  assert.ok(tilesOf(layout).length <= 45, String(tilesOf(layout).length));
  assert.deepEqual(partsOf({ topic: "t", kind: "json", text: "[[[[[1]]]]]" }), []);
  assert.deepEqual(partsOf({ topic: "t", kind: "json", text: '{"a/b":1,"c":{"d":2,"e":{"f":3}}}' }).map((p) => p.pointer), ["/a~1b", "/c/d"]);
  assert.deepEqual(partsOf({ topic: "t", kind: "json", text: "{" }), []);
});

// The schema in the tree is the one that the table makes. PLUMBLINE_UPDATE=1 writes it.
test("the published schema is that of the check", async () => {
  const path = process.env["PLUMBLINE_SCHEMA"] ?? "app/shell/layout.schema.json";
  const want = `${JSON.stringify(layoutSchema(), null, 1)}\n`;
  if (process.env["PLUMBLINE_UPDATE"] === "1") await writeFile(path, want);
  assert.equal(await readFile(path, "utf8"), want, "run PLUMBLINE_UPDATE=1 npm test schema");
});

test("a layout stays what it was when it goes through JSON", () => {
  for (const p of presets) assert.deepEqual(JSON.parse(JSON.stringify(p.layout)) as Layout, p.layout);
});

test("units are those that somebody has stated: in a member beside it, or by the end of a name", () => {
  const units = (text: string, topic = "site/dev"): (string | undefined)[] => partsOf({ topic, kind: text.startsWith("{") ? "json" : "number", text }).map((p) => p.unit);
  assert.deepEqual(units('{"temperature":21,"temperature_unit":"°F","power_kw":3,"channel_a":1}'), ["°F", "kW", undefined]);
  assert.deepEqual(units('{"value":21,"unit":"°C"}'), [undefined], "the core takes that one, and it is no tile by itself");
  assert.deepEqual(units("21", "hall/outside-temperature_c"), ["°C"]);
  assert.deepEqual(units("21", "hall/sensor_c"), [undefined]);
  assert.deepEqual(units('{"constructor_toString":1}'), [undefined]);
});

test("a chart of what is there draws what has something in common", () => {
  const seen = ["1", "2", "3"].map((n) => ({ topic: `hall/press-${n}/state`, kind: "json", text: '{"rms":1,"speed_rpm":900}' }));
  const chart = autoLayout([...seen, { topic: "hall/meter/state", kind: "json", text: '{"voltage_v":230}' }], ["#"]).pages[0]?.groups[0]?.tiles.find((t) => t.kind === "chart");
  assert.ok(chart?.kind === "chart");
  assert.deepEqual(chart.series.map((s) => s.pointer), ["/rms", "/rms", "/rms"]);
});
