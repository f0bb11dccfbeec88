// Against a real bridged: what the protocol promises holds end to end, and what breaks heals.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Bridged, client, closeAll, follow, Proxy, Publisher, skip, surroundings, until, withTime } from "./bridged.ts";

describe("a real bridge", { skip }, () => {
  let bridged: Bridged;
  let mqtt: Publisher;
  before(async () => {
    bridged = await Bridged.start("auth.tickets=true", "auth.jwt.leeway=0s");
    mqtt = new Publisher(() => bridged.mqtt);
  });
  after(closeAll);

  for (const encoding of ["json", "cbor"] as const) {
    test(`readings are what was published, by ${encoding}`, async () => {
      await mqtt.publish(`${encoding}/kept`, "before", true);
      const c = client(bridged.viewers, { encoding, token: () => bridged.token(), name: "test" });
      const f = follow(c, `${encoding}/#`, { snapshot: true });
      await until("the snapshot", () => f.updates.some((u) => u.kind === "snapshot" && u.last));
      await mqtt.publish(`${encoding}/text`, "21.5 °C");
      await mqtt.publish(`${encoding}/binary`, Uint8Array.of(0, 255, 10));
      await mqtt.publish(`${encoding}/empty`, "");
      await until("the readings", () => f.readings.length === 3);
      const old = f.updates.flatMap((u) => (u.kind === "snapshot" ? u.readings : []));
      assert.deepEqual(old.map((r) => [r.topic, r.text(), r.retain]), [[`${encoding}/kept`, "before", true]]);
      assert.deepEqual(f.readings.map((r) => [r.topic, r.text(), r.isText, [...r.bytes].length, r.qos]), [
        [`${encoding}/text`, "21.5 °C", true, 8, 1], [`${encoding}/binary`, "\u0000\ufffd\n", false, 3, 1], [`${encoding}/empty`, "", true, 0, 1],
      ]);
      const { node, epoch, expires } = c.state.session ?? {};
      assert.ok(node && epoch === f.sub.cursor?.epoch && expires && c.state.reason === "", JSON.stringify(c.state));
      c.close();
    });
  }

  test("modes: what is left out is counted, and the heartbeat's account agrees", async () => {
    const own = await Bridged.start("viewers.heartbeat=3s"); // soon, and no reason to cut what a loaded machine holds up
    const publisher = new Publisher(() => own.mqtt);
    const c = client(own.viewers, { token: () => own.token() });
    const all = follow(c, "m/#");
    const latest = follow(c, "m/#", { mode: "latest", tickMs: 100 });
    const sample = follow(c, "m/#", { mode: "sample", everyMs: 300 });
    await until("the subscriptions", () => [all, latest, sample].every((f) => f.sub.live));
    for (let i = 0; i < 300; i++) {
      await publisher.publish("m/a", String(i));
    }
    await until("everything and its account", () => [all, latest, sample].every((f) => f.sub.cursor?.offset === all.sub.cursor?.offset && f.sub.proof.delivered + f.sub.proof.conflated === 300));
    const now = performance.now();
    await until("an account that agrees", () => [all, latest, sample].every((f) => (f.sub.proof.checkedMs ?? 0) > now));
    assert.deepEqual([all, latest, sample].map((f) => [f.sub.proof.complete, f.sub.proof.broken, f.readings.at(-1)?.text()]), [[true, 0, "299"], [true, 0, "299"], [true, 0, "299"]]);
    assert.equal(all.sub.proof.conflated, 0);
    c.close();
    publisher.close();
    await own.close();
  });

  test("the viewer's clock may be wrong by hours: the bridge's is known within its bound", async () => {
    for (const wrongMs of [7 * 3_600_000, -7 * 3_600_000]) {
      const c = client(bridged.viewers, { token: () => bridged.token(), env: { ...surroundings(), wall: () => Date.now() + wrongMs } });
      await until("pongs that tell the time", () => c.clock.known && c.clock.rttUs < Infinity && c.clock.errorUs < 1e6);
      const nowMs = performance.now();
      const errorUs = c.clock.at(nowMs) - (performance.timeOrigin + nowMs) * 1000; // one machine: the truth is 0, but for steering since the start
      assert.ok(Math.abs(errorUs) <= c.clock.errorUs + 20_000, `off by ${errorUs} µs, bound ${c.clock.errorUs}`);
      assert.ok(Math.abs(c.clock.wallErrorUs + wrongMs * 1000) < 60e6, `wall ${c.clock.wallErrorUs}`);
      const f = follow(c, "clock/#");
      await until("the subscription", () => f.sub.live);
      await mqtt.publish("clock/a", "1");
      await until("a reading", () => f.readings.length === 1);
      const ageUs = c.clock.now() - (f.readings[0]?.time ?? 0);
      assert.ok(ageUs > -c.clock.errorUs - 20_000 && ageUs < 60e6, `a reading that just came is ${ageUs} µs old`);
      c.close();
    }
  });

  for (const transports of [["websocket"], ["sse"]] as const) {
    test(`commands by ${transports[0]}: answered, seen, refused where they are not granted`, async () => {
      const grants = { live: ["#"], publish: ["command/1/#"] };
      const c = client(bridged.viewers, { transports, token: () => bridged.token(3_600, grants) });
      const f = follow(c, "command/#");
      await until("the subscription", () => f.sub.live);
      await c.publish("command/1/speed", "17", { qos: 1 });
      await c.publish("command/1/raw", Uint8Array.of(0, 255));
      await assert.rejects(c.publish("command/2/speed", "17"), { reason: "forbidden", sent: "no" });
      await assert.rejects(c.publish("command/1/+", "17"), { sent: "no" });
      await until("the commands", () => f.readings.length === 2);
      assert.deepEqual(f.readings.map((r) => [r.topic, [...r.bytes]]), [["command/1/speed", [49, 55]], ["command/1/raw", [0, 255]]]);
      c.close();
    });
    test(`a filter that is not granted ends alone, by ${transports[0]}`, async () => {
      const c = client(bridged.viewers, { transports, token: () => bridged.token(3_600, ["mine/#"]) });
      const [mine, others] = [follow(c, "mine/#"), follow(c, "others/#")];
      await until("both answers", () => mine.sub.live && others.updates.length === 1);
      assert.ok(others.updates[0]?.kind === "end" && others.updates[0].error.reason === "forbidden");
      assert.deepEqual([c.state.phase, c.subscriptions.size], ["open", 1]);
      c.close();
    });
  }

  test("a token is refreshed in place before it ends", async () => {
    await withTime(3_000, async (lifeMs) => {
      let n = 0;
      const c = client(bridged.viewers, { token: () => bridged.token(n++ === 0 ? lifeMs / 1000 : 3_600) });
      const topic = `refresh/${lifeMs}`;
      const f = follow(c, topic);
      const seen: string[] = [];
      let ended = false;
      c.on("expiring", () => seen.push("expiring"));
      c.on("refreshed", () => seen.push("refreshed"));
      c.on("state", (s) => (ended ||= s.phase === "waiting" || s.phase === "refused"));
      await until("the refresh", () => ended || (seen.length === 2 && f.sub.live));
      if (!ended) {
        await mqtt.publish(topic, "0");
        await until("a reading in the same session", () => f.readings.length === 1);
        assert.deepEqual([seen, f.sub.proof.resumes, n], [["expiring", "refreshed"], 0, 2]);
      }
      c.close();
      return !ended;
    });
  });

  for (const transports of [["websocket"], ["sse"], ["poll"]] as const) {
    test(`a session that expires explains itself and recovers with a new sign-in, by ${transports[0]}`, async () => {
      await withTime(3_000, async (lifeMs) => {
        const cookie = { Origin: "http://page.example", Cookie: `__Host-session=${await bridged.token(lifeMs / 1000)}` };
        const c = client(bridged.viewers, { transports, env: surroundings(cookie) }); // a cookie, and no source of tokens
        const topic = `cookie/${transports[0]}/${lifeMs}`;
        const f = follow(c, topic);
        let stood = false;
        await until("the subscription", () => (stood = f.sub.live) || c.state.phase === "refused");
        if (stood) {
          await mqtt.publish(topic, "0");
          await until("the end of the session", () => c.state.phase === "refused");
          assert.equal(c.state.cause?.kind, "token");
          assert.match(c.state.reason, /credential.*expired/);
          await mqtt.publish(topic, "1");
          cookie.Cookie = `__Host-session=${await bridged.token()}`;
          c.retry();
          await until("what came meanwhile", () => f.readings.length === 2);
          assert.deepEqual([f.readings.map((r) => r.text()), f.sub.proof.complete, f.sub.proof.resumes], [["0", "1"], true, transports[0] === "poll" ? f.sub.proof.resumes : 1]);
        }
        c.close();
        return stood;
      });
    });
  }

  test("a token that is revoked is not shown again; another goes on", async () => {
    let token = await bridged.token();
    const c = client(bridged.viewers, { token: () => token });
    const f = follow(c, "revoked/#");
    await until("the subscription", () => f.sub.live);
    const r = await fetch(`http://${bridged.viewers}/session`, { method: "DELETE", headers: { Authorization: `Bearer ${token}` } });
    assert.equal(r.status, 204);
    await until("the end", () => c.state.phase === "refused");
    assert.equal(c.state.cause?.kind, "token");
    await mqtt.publish("revoked/a", "0");
    token = await bridged.token();
    await until("what came meanwhile", () => f.readings.length === 1);
    assert.equal(f.sub.proof.complete, true);
    c.close();
  });

  test("tickets open a socket, a stream and polls", async () => {
    const ticket = async () => {
      const r = await fetch(`http://${bridged.viewers}/ticket`, { method: "POST", headers: { Authorization: `Bearer ${await bridged.token()}` } });
      return ((await r.json()) as { ticket: string }).ticket;
    };
    for (const transport of ["websocket", "sse", "poll"] as const) {
      const c = client(bridged.viewers, { transports: [transport], ticket });
      const f = follow(c, "ticket/#");
      await until(`the subscription by ${transport}`, () => f.sub.live);
      await mqtt.publish("ticket/a", transport);
      await until("a reading", () => f.readings.at(-1)?.text() === transport);
      c.close();
    }
  });

  test("a proxy that strips WebSocket and holds events back: the page falls back, says so, and comes back", async () => {
    const proxy = await Proxy.start(() => bridged.viewers);
    await withTime(3_000, async (timeoutMs) => {
      proxy.harm = "strip";
      const c = client(proxy.address, { token: () => bridged.token(), websocketAgainMs: 500, timeoutMs });
      const topic = `proxy/${timeoutMs}`;
      const f = follow(c, topic);
      let n = 0;
      const next = async () => {
        await mqtt.publish(topic, String(n++));
        await until(`reading ${n} by ${c.state.transport}`, () => f.readings.length === n);
      };
      await until("events", () => (c.state.transport === "sse" && f.sub.live) || c.state.transport === "poll");
      if (c.state.transport === "poll") { // the bridge was too slow to say subok: as a proxy that holds it back
        c.close();
        return false;
      }
      assert.match(c.state.fallback?.because ?? "", /proxy/);
      await next();
      proxy.harm = "hold";
      proxy.cut();
      await until("polling", () => c.state.phase === "open" && c.state.transport === "poll");
      assert.match(c.state.fallback?.because ?? "", /proxy.*sse/);
      await next();
      proxy.harm = "none";
      await until("WebSocket again", () => c.state.phase === "open" && c.state.transport === "websocket" && f.sub.live);
      assert.equal(c.state.fallback, null);
      await next();
      assert.deepEqual([f.readings.map((r) => r.text()), f.sub.proof.complete, f.sub.proof.broken], [["0", "1", "2"], true, 0]);
      c.close();
      return true;
    });
    await proxy.close();
  });
});
