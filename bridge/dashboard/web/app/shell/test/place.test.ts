import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { addTile, placeTile, removeTile, replaceTile } from "../change.ts";
import { firstFree, overlaps, readingOrder, settle, within } from "../geometry.ts";
import type { Layout, Tile } from "../layout.ts";
import { idFault, idFrom, pack, readPlace, unpack, writePlace } from "../place.ts";
import { presets } from "../presets.ts";

const note = (x: number, y: number, w: number, h: number): Tile => ({ kind: "note", text: "", x, y, w, h });

test("a layout goes into the address and comes back the same", async () => {
  for (const p of presets) {
    const packed = await pack(p.layout);
    assert.match(packed, /^[A-Za-z0-9_-]+$/);
    assert.ok(packed.length < 2500, `${p.id}: ${packed.length} characters`);
    assert.deepEqual((await unpack(packed)).layout, p.layout);
    assert.equal(readPlace(writePlace({ packed, page: 1, wall: false })).packed, packed);
  }
});

test("a hostile address is an error and no load", async () => {
  const b64 = (b: Uint8Array): string => Buffer.from(b).toString("base64url");
  const cases: [string, RegExp][] = [
    ["", /holds no whole layout/], ["!!!", /holds no whole layout/], ["AAAA", /holds no whole layout/],
    [b64(deflateRawSync(Buffer.alloc(1 << 20, 32))), /unpacks to more than 64 KiB/],
    [b64(deflateRawSync(Buffer.from("[1]"))), /is a list/],
    [b64(deflateRawSync(Buffer.from([0xff, 0xfe]))), /holds no whole layout/],
  ];
  for (const [packed, want] of cases) assert.match((await unpack(packed)).faults?.[0]?.what ?? "", want, packed.slice(0, 20));
});

test("places are read strictly and written shortly", () => {
  assert.deepEqual(readPlace(""), { page: 0, wall: false });
  assert.deepEqual(readPlace("#layout=wall-1&page=2&wall=1"), { saved: "wall-1", page: 1, wall: true });
  assert.deepEqual(readPlace("#layout=wall-1&owner=a%2Fb"), { saved: "wall-1", owner: "a/b", page: 0, wall: false });
  assert.deepEqual(readPlace("#layout=../x&page=-1"), { page: 0, wall: false });
  assert.deepEqual(readPlace("#page=1e9"), { page: 0, wall: false });
  for (const text of ["", "#preset=railway", "#layout=a&page=3", "#layout=a&owner=b&page=3&wall=1"]) assert.equal(writePlace(readPlace(text)), text);
});

test("names of saved layouts", () => {
  assert.equal(idFrom("Große Übersicht: Halle 3!"), "grosse-ubersicht-halle-3");
  assert.equal(idFrom("漢字"), "dashboard");
  for (const title of ["Große", "-a-", "x".repeat(200), `${"x".repeat(63)} y`]) assert.equal(idFault(idFrom(title)), "", title);
  for (const bad of ["", "A", "-a", "a-", "a/b", "x".repeat(65)]) assert.notEqual(idFault(bad), "", bad);
});

test("a tile that is moved stays, the others make way downwards, and none overlaps", () => {
  const tiles = [note(0, 0, 6, 2), note(6, 0, 6, 2), note(0, 2, 12, 3), note(0, 5, 4, 1)];
  const moved = settle(tiles, 3, { x: 0, y: 0, w: 12, h: 2 });
  assert.deepEqual({ x: moved[3]?.x, y: moved[3]?.y }, { x: 0, y: 0 });
  moved.forEach((a, i) => moved.slice(i + 1).forEach((b) => assert.ok(!overlaps(a, b), JSON.stringify(moved))));
  assert.deepEqual(tiles[0], note(0, 0, 6, 2), "what was given is not changed");
  assert.deepEqual(within(note(-3, -1, 99, 0)), note(0, 0, 12, 1));
  assert.deepEqual(firstFree(tiles, 4, 1), { x: 4, y: 5, w: 4, h: 1 });
  assert.deepEqual(readingOrder([note(6, 0, 1, 1), note(0, 2, 1, 1), note(0, 0, 1, 1)]), [2, 0, 1]);
});

test("a full group pushes nothing beyond the last row", () => {
  const tiles = Array.from({ length: 5 }, (_, i) => note(0, i * 40, 12, 40));
  assert.equal(settle(tiles, 4, { x: 0, y: 20, w: 12, h: 40 }), tiles);
});

test("steps of editing give new layouts and leave the old one", () => {
  const layout: Layout = { apiVersion: "plumbline/v1", kind: "Dashboard", title: "T", pages: [{ title: "P", groups: [{ tiles: [note(0, 0, 3, 2)] }, { tiles: [] }] }] };
  const before = JSON.stringify(layout), spot = { page: 0, group: 0, tile: 0 };
  assert.equal(placeTile(layout, spot, { x: 2, y: 1, w: 3, h: 2 }).pages[0]?.groups[0]?.tiles[0]?.x, 2);
  assert.equal(addTile(layout, 0, 1, note(0, 0, 1, 1)).pages[0]?.groups[1]?.tiles.length, 1);
  assert.equal(removeTile(layout, spot).pages[0]?.groups[0]?.tiles.length, 0);
  assert.equal(replaceTile(layout, spot, { ...note(0, 0, 3, 2), title: "x" } as Tile).pages[0]?.groups[0]?.tiles[0]?.title, "x");
  assert.equal(JSON.stringify(layout), before);
});
