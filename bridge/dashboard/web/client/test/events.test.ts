import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../src/events.ts";
import { Broken } from "../src/errors.ts";

function read(pieces: string[]): { events: [string, string][]; retries: number[] } {
  const events: [string, string][] = [];
  const retries: number[] = [];
  const parser = new EventParser({ event: (name, data) => events.push([name, data]), retry: (ms) => retries.push(ms) });
  pieces.forEach((p) => parser.push(p));
  return { events, retries };
}

const stream = 'retry: 1820\n\nevent: subok\nid: E:9\ndata: {"a":1}\n\n: heartbeat\n\nevent: batch\ndata: one\ndata:two\ndata\n\nevent: lost\n\ndata: nameless\r\n\r\nevent: half\ndata: never ends';

test("reads events in whatever pieces they come", () => {
  const want = { events: [["subok", '{"a":1}'], ["batch", "one\ntwo\n"], ["", "nameless"]], retries: [1820] };
  for (let size = 1; size <= stream.length; size++) {
    const pieces = [];
    for (let at = 0; at < stream.length; at += size) {
      pieces.push(stream.slice(at, at + size));
    }
    assert.deepEqual(read(pieces), want, `pieces of ${size}`);
  }
});

test("does not gather without end", () => {
  const parser = new EventParser({ event: () => {}, retry: () => {} });
  const piece = "x".repeat(1 << 20);
  assert.throws(() => {
    for (let i = 0; i < 40; i++) {
      parser.push(piece);
    }
  }, Broken);
});

test("reads a long event in small pieces in a time that grows with its length, not with the square of it", { timeout: 120_000 }, () => {
  let length = 0;
  const parser = new EventParser({ event: (_, data) => (length = data.length), retry: () => {} });
  const piece = "x".repeat(256);
  parser.push("data: ");
  for (let i = 0; i < 100_000; i++) { // 25 MiB: copied anew with each piece they would be a terabyte
    parser.push(piece);
  }
  parser.push("\n\n");
  assert.equal(length, 25_600_000);
});
