import assert from "node:assert/strict";
import { test } from "node:test";
import { Estimate, parseTimeUs } from "../src/clock.ts";
import { surroundings } from "../src/env.ts";
import { World } from "./world.ts";

test("the bridge's clock is found by the quickest exchange, whatever the viewer's says", () => {
  for (const wrongMs of [0, 5 * 3_600_000, -3 * 3_600_000]) {
    const world = new World();
    world.wallMs += wrongMs;
    const clock = new Estimate(surroundings(world.env()));
    const trueUs = () => 1_700_000_000_000_000 + world.now * 1000; // the bridge's clock
    assert.equal(clock.known, false);
    assert.equal(clock.errorUs, Infinity);
    for (const [outMs, backMs] of [[40, 5], [2, 1], [300, 2], [1, 30]] as const) {
      const sent = world.now;
      world.now += outMs;
      const read = trueUs();
      world.now += backMs;
      clock.add(sent, world.now, read);
    }
    assert.ok(Math.abs(clock.now() - trueUs()) <= clock.errorUs, `off by ${clock.now() - trueUs()} µs, bound ${clock.errorUs}`);
    assert.ok(clock.errorUs < 2_000, `bound ${clock.errorUs} µs, want that of the exchange of 3 ms`);
    assert.equal(clock.rttUs, 3_000);
    assert.ok(Math.abs(clock.wallErrorUs + wrongMs * 1000) < 3_000, `the viewer's clock is said to be wrong by ${clock.wallErrorUs} µs`);
    world.now += 60_000;
    assert.ok(clock.errorUs > 7_000, "the bound grows with what clocks may drift");
  }
});

test("a step of the viewer's clock, or sleep, makes what was known void", () => {
  const world = new World();
  const clock = new Estimate(surroundings(world.env()));
  clock.add(world.now, world.now + 2, 1e15);
  world.sleep(3_600_000);
  assert.equal(clock.look(), true);
  assert.equal(clock.known, false);
  assert.equal(clock.look(), false);
});

test("a step of the bridge's clock is followed at once", () => {
  const world = new World();
  const clock = new Estimate(surroundings(world.env()));
  clock.add(world.now, world.now + 1, 1e15);
  world.now += 1_000;
  clock.add(world.now, world.now + 50, 2e15); // slower, and it cannot be that both are right
  assert.ok(Math.abs(clock.now() - 2e15) < 100_000);
});

test("reads RFC 3339 to the microsecond", () => {
  assert.equal(parseTimeUs("2026-01-02T03:04:05.678901234Z"), Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 678_901);
  assert.equal(parseTimeUs("2026-01-02T03:04:05Z"), Date.UTC(2026, 0, 2, 3, 4, 5) * 1000);
  assert.equal(parseTimeUs("2026-01-02T05:04:05.5+02:00"), Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 500_000);
  assert.ok(Number.isNaN(parseTimeUs("yesterday")));
});
