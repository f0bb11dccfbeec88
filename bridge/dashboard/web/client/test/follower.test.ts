import assert from "node:assert/strict";
import { test } from "node:test";
import { batch, json, reading, Stream, stripped, subok } from "./streams.ts";
import { follow, states, World } from "./world.ts";

const empty = (from: number, epoch = "E") => ({ epoch, from, to: from, recovered: true, reason: "", more: false, head: from, readings: [] });

test("intervals over HTTP are of the journal that was subscribed, and gaps as large as they say", async () => {
  for (const [what, name, data] of [
    ["a gap of another epoch", "gap", { epoch: "F", from: 12, to: 14, count: 2, reason: "acl" }], ["a gap of no size", "gap", { epoch: "E", from: 12, to: 14, count: 0, reason: "acl" }],
    ["a batch of another epoch", "batch", { ...batch(12, 14), epoch: "F" }],
  ] as const) {
    const world = new World();
    const client = world.connect({ transports: ["sse"] });
    const streams = stripped(world, {});
    const { sub } = follow(client, "#");
    await world.settle();
    streams[0]?.event("subok", subok(9)).event("batch", batch(9, 12, 12)).event(name, data);
    await world.settle();
    assert.deepEqual([client.state.cause?.kind, sub.proof.broken, sub.proof.gaps, sub.cursor?.offset], ["broken", 1, 0, 12], what);
    client.close();
  }
  for (const [what, answer] of [["an empty answer", empty(9, "F")], ["an answer", { ...empty(9, "F"), to: 10, readings: [reading(10)] }], ["a gap", { ...empty(9), to: 12, gap: { from: 9, to: 12, count: 1, reason: "acl" } }]] as const) {
    const world = new World();
    const client = world.connect({ transports: ["poll"] });
    let polls = 0;
    stripped(world, { "/poll": () => json(polls++ === 0 ? empty(9) : answer) });
    const { sub } = follow(client, "#", { since: "E:9" });
    await world.advance(1_000);
    assert.deepEqual([client.state.cause?.kind, sub.proof.delivered, sub.proof.gaps, sub.cursor?.offset], ["broken", 0, 0, 9], what);
    client.close();
  }
});

test("a stream that is refused now and then goes on, and waits longer than the bridge asks, not all in the same moment", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse"] });
  const asked: number[] = [];
  let open: Stream | null = null;
  stripped(world, {
    "/sse": (a) => {
      asked.push(world.now);
      if (asked.length % 2 === 0) {
        return json({ error: "rate" }, 429, { "Retry-After": "4" });
      }
      open = new Stream(a.init.signal);
      return open.response;
    },
  });
  const seen = states(client);
  const { sub } = follow(client, "#");
  await world.settle();
  let stream: Stream | null = null;
  for (let i = 0; i < 10; i++) {
    assert.notEqual(open, stream, `stream ${i}`);
    stream = open as Stream | null;
    stream?.say("retry: 10\n\n").event("subok", subok(9, i > 0));
    await world.advance(6_000);
    assert.equal(sub.live, true);
    stream?.end();
    await world.advance(10); // refused
    assert.equal(sub.live, false);
    await world.advance(5_000); // 4 s and half of up to a half more
  }
  assert.deepEqual(seen.filter((s) => s.phase === "waiting"), []);
  assert.deepEqual(asked.slice(1, 3).map((at, i) => at - (asked[i] as number)), [6_010, 5_000]);
  client.close();
});

test("a bridge that has no room for long ends the link, which waits and begins anew", async () => {
  for (const transport of ["sse", "poll"] as const) {
    const world = new World();
    const client = world.connect({ transports: [transport] });
    let full = false;
    let asked = 0;
    const answer = (at: number) => {
      asked++;
      return full ? json({ error: "limit" }, 429, { "Retry-After": "1" }) : json(empty(at));
    };
    const streams: Stream[] = [];
    stripped(world, {
      "/poll": () => answer(9),
      "/sse": (a) => {
        if (full) {
          return answer(9);
        }
        streams.push(new Stream(a.init.signal).event("subok", subok(9, true)));
        return (streams[streams.length - 1] as Stream).response;
      },
    });
    const { sub } = follow(client, "#", { since: "E:9" });
    await world.advance(1_000);
    assert.equal(sub.live, true, transport);
    full = true;
    streams[0]?.end();
    const seen = states(client);
    await world.advance(60_000);
    assert.ok(asked > 6 && seen.some((s) => s.phase === "waiting" && s.cause?.code === 429), `${transport}: asked ${asked} times, ${client.state.reason}`);
    full = false;
    await world.advance(120_000);
    assert.deepEqual([client.state.phase, sub.live], ["open", true], transport);
    client.close();
  }
});

test("streams that end at once, and polls that bring nothing and promise more, are not asked for without a rest", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse"] });
  let streams = 0;
  stripped(world, {
    "/sse": (a) => {
      const made = new Stream(a.init.signal);
      made.say("retry: 0\n\n").event("subok", subok(9, streams++ > 0)).end();
      return made.response;
    },
  });
  follow(client, "#");
  await world.advance(60_000);
  assert.ok(streams > 3 && streams < 15, `${streams} streams in a minute`);
  client.close();

  const other = new World();
  const polled = other.connect({ transports: ["poll"] });
  let polls = 0;
  stripped(other, { "/poll": () => (polls++, json({ ...empty(9), more: true })) });
  follow(polled, "#", { since: "E:9" });
  await other.advance(10_000);
  assert.ok(polls > 3 && polls <= 51, `${polls} polls in ten seconds`);
  polled.close();
});

test("after sleep the bridge is asked within seconds, and what came before is begun anew", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse"] });
  const streams = stripped(world, {});
  follow(client, "#");
  await world.settle();
  streams[0]?.event("subok", subok(9));
  await world.settle();
  assert.equal(client.clock.known, true);
  const me = () => world.asked.filter((a) => a.url.pathname === "/api/v1/me").length;
  const before = me();
  world.sleep(3_600_000);
  world.answer = () => new Promise<Response>(() => {}); // the network is not back yet
  await world.advance(5_000);
  assert.deepEqual([me(), client.clock.known], [before + 1, false]);
  await world.advance(5_000);
  assert.deepEqual([client.state.phase === "open", client.state.cause?.kind], [false, "silent"]);
  client.close();
  await world.settle();
  assert.equal(world.timers, 0);
});
