// Against a real bridged that is killed, drained, cut off and silent: each value comes once, in order, and the chain proves it.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { assertWhole, Bridged, client, closeAll, follow, Proxy, Publisher, skip, until } from "./bridged.ts";

/** Publishes values from n on until stop says so; returns the next. */
async function flow(mqtt: Publisher, from: number, count: number): Promise<number> {
  for (let i = from; i < from + count; i++) {
    await mqtt.publish("flow/a", String(i));
  }
  return from + count;
}

describe("faults", { skip, concurrency: true }, () => {
  after(closeAll);
  for (const encoding of ["json", "cbor"] as const) {
    test(`a bridge that is killed, by ${encoding}`, async () => {
      const bridged = await Bridged.start();
      const mqtt = new Publisher(() => bridged.mqtt);
      const c = client(bridged.viewers, { encoding, token: () => bridged.token() });
      const f = follow(c, "flow/#");
      await until("the subscription", () => f.sub.live);
      let n = 0;
      for (let kill = 0; kill < 3; kill++) {
        await until("the subscription to stand again", () => f.sub.live);
        n = await flow(mqtt, n, 50); // acknowledged, so in the journal, and perhaps not yet sent to anybody
        await bridged.end("SIGKILL");
        await until("that the page notices", () => c.state.phase !== "open");
        await bridged.start();
      }
      n = await flow(mqtt, n, 10);
      await until("everything", () => f.readings.length === n);
      assertWhole(f, n);
      assert.equal(f.sub.proof.resumes, 3);
      assert.equal(c.state.transport, "websocket");
      c.close();
      mqtt.close();
      await bridged.close();
    });
  }

  for (const transports of [["websocket"], ["sse"], ["poll"]] as const) {
    test(`a bridge that restarts in order, by ${transports[0]}`, async () => {
      const bridged = await Bridged.start();
      const mqtt = new Publisher(() => bridged.mqtt);
      const c = client(bridged.viewers, { transports, token: () => bridged.token() });
      const f = follow(c, "flow/#");
      const draining: boolean[] = [];
      c.on("state", (s) => s.draining && draining.push(true));
      await until("the subscription", () => f.sub.live);
      let n = await flow(mqtt, 0, 20);
      await until("everything before", () => f.readings.length === n);
      await bridged.end("SIGTERM");
      await bridged.start();
      n = await flow(mqtt, n, 20);
      await until("everything", () => f.readings.length === n);
      assertWhole(f, n);
      assert.equal(draining.length > 0, transports[0] !== "poll");
      c.close();
      mqtt.close();
      await bridged.close();
    });
  }

  for (const transports of [["websocket"], ["sse"], ["poll"]] as const) {
    test(`connections that are cut, by ${transports[0]}`, async () => {
      const bridged = await Bridged.start();
      const proxy = await Proxy.start(() => bridged.viewers);
      const mqtt = new Publisher(() => bridged.mqtt);
      const c = client(proxy.address, { transports, timeoutMs: 3_000, token: () => bridged.token() });
      const f = follow(c, "flow/#");
      await until("the subscription", () => f.sub.live);
      let n = 0;
      for (let cut = 0; cut < 5; cut++) {
        const sending = flow(mqtt, n, 40);
        await until("some of it", () => f.readings.length > n + 5);
        proxy.cut();
        n = await sending;
        await until("the rest", () => f.readings.length === n);
      }
      assertWhole(f, n);
      c.close();
      mqtt.close();
      await proxy.close();
      await bridged.close();
    });
  }

  for (const transports of [["websocket"], ["sse"]] as const) {
    test(`connections that are there and carry nothing, by ${transports[0]}`, async () => {
      const bridged = await Bridged.start("viewers.heartbeat=1s");
      const proxy = await Proxy.start(() => bridged.viewers);
      const mqtt = new Publisher(() => bridged.mqtt);
      const c = client(proxy.address, { transports, timeoutMs: 3_000, token: () => bridged.token() });
      const f = follow(c, "flow/#");
      await until("the subscription", () => f.sub.live);
      let n = await flow(mqtt, 0, 20);
      await until("everything before", () => f.readings.length === n);
      proxy.deafen();
      n = await flow(mqtt, n, 20);
      await until("everything, by another connection", () => f.readings.length === n);
      assertWhole(f, n);
      c.close();
      mqtt.close();
      await proxy.close();
      await bridged.close();
    });
  }

  test("what retention took is declared, with its size", async () => {
    const bridged = await Bridged.start("journal.segmentBytes=64KiB", "journal.retainBytes=128KiB", "journal.tailBytes=64KiB");
    const proxy = await Proxy.start(() => bridged.viewers);
    const mqtt = new Publisher(() => bridged.mqtt);
    const c = client(proxy.address, { token: () => bridged.token() });
    const f = follow(c, "flow/#");
    await until("the subscription", () => f.sub.live);
    await mqtt.publish("flow/a", "first");
    await until("the first", () => f.readings.length === 1);
    await proxy.close(); // the viewer cannot come back
    const large = "x".repeat(4_096);
    for (let i = 0; i < 200; i++) {
      await mqtt.publish("flow/a", large);
    }
    const again = client(bridged.viewers, { token: () => bridged.token() });
    const g = follow(again, "flow/#", { since: f.sub.cursor ?? "" });
    await until("the gap", () => g.sub.proof.gaps >= 1 && g.sub.live);
    await mqtt.publish("flow/a", "last");
    await until("the last", () => g.readings.at(-1)?.text() === "last");
    const { missing, delivered, complete, unknown } = g.sub.proof;
    assert.deepEqual([complete, unknown, missing + delivered], [false, false, 201]);
    c.close();
    again.close();
    mqtt.close();
    await bridged.close();
  });
});
