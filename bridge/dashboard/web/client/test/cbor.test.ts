import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "../src/cbor.ts";
import { Broken } from "../src/errors.ts";

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const plain = (value: unknown) => JSON.parse(JSON.stringify(value, (_, v: unknown) => (v instanceof Uint8Array ? `h'${Buffer.from(v).toString("hex")}'` : v))) as unknown;

test("reads the examples of RFC 8949 appendix A that the protocol allows", () => {
  for (const [hex, want] of [
    ["00", 0], ["17", 23], ["1818", 24], ["1903e8", 1000], ["1a000f4240", 1_000_000], ["1b000000e8d4a51000", 1_000_000_000_000], ["1b001fffffffffffff", Number.MAX_SAFE_INTEGER],
    ["20", -1], ["3903e7", -1000], ["f4", false], ["f5", true], ["f6", null], ["40", "h''"], ["4401020304", "h'01020304'"], ["60", ""], ["62c3bc", "ü"], ["64f0908591", "𐅑"],
    ["80", []], ["8301820203820405", [1, [2, 3], [4, 5]]], ["a26161016162820203", { a: 1, b: [2, 3] }], ["98190102030405060708090a0b0c0d0e0f101112131415161718181819", Array.from({ length: 25 }, (_, i) => i + 1)],
  ] as const) {
    assert.deepEqual(plain(decode(bytes(hex))), want, hex);
  }
});

test("refuses what is no message", () => {
  for (const hex of ["", "18", "1b0020000000000000", "1bffffffffffffffff", "f90000", "fb3ff199999999999a", "f7", "c11a514b67b0", "5f42010243030405ff", "9fff", "bf61610161629f0203ffff",
    "61ff", "4401", "9b001fffffffffffff", "0000", "a1016161", "a26161016161 02".replace(" ", ""), "81818181818181818181", "1f", "ff", "1c"]) {
    assert.throws(() => decode(bytes(hex)), Broken, hex);
  }
});

test("a map cannot reach the prototype", () => {
  const m = decode(bytes("a1695f5f70726f746f5f5fa16161f5")) as Record<string, unknown>;
  assert.deepEqual(Object.keys(m), ["__proto__"]);
  assert.equal(({} as { a?: unknown }).a, undefined);
});

test("reads back what it writes", () => {
  const message = { type: "sub", id: 300, n: 70_000, big: 5_000_000_000, minus: -500, flag: true, raw: Uint8Array.of(0, 255), since: { epoch: "Ü", offset: 2 ** 53 - 1 }, left: undefined };
  const { left: _, ...kept } = message; // what is undefined is left out
  assert.deepEqual(plain(decode(encode(message))), { ...kept, raw: "h'00ff'" });
});

test("byte strings do not keep the message alive", () => {
  const raw = decode(bytes("4401020304")) as Uint8Array;
  assert.equal(raw.buffer.byteLength, 4);
});
