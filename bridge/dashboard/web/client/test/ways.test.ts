import assert from "node:assert/strict";
import { test } from "node:test";
import { batch, json, reading, Stream, stripped, subok } from "./streams.ts";
import { bridge, brief, follow, states, World } from "./world.ts";

/** Lets WebSocket fail until the client takes another way. */
async function strip(world: World, client: { state: { transport: string | null } }): Promise<void> {
  for (let i = 0; i < 3 && client.state.transport === "websocket"; i++) {
    await world.settle();
    world.peer.cut();
    await world.advance(2_000);
  }
}

test("a bridge that is away is no reason for a fallback", async () => {
  const world = new World();
  const client = world.connect({ timeoutMs: 1e9 });
  await world.settle();
  for (let i = 0; i < 6; i++) {
    world.peer.cut();
    await world.advance(30_000);
  }
  assert.deepEqual([client.state.transport, client.state.fallback, world.peers.length], ["websocket", null, 7]);
  client.close();
});

test("a WebSocket that is stripped: events, and said so; WebSocket again when it works", async () => {
  const world = new World();
  const client = world.connect();
  const { sub, updates } = follow(client, "#");
  const seen = states(client);
  const streams = stripped(world, {});
  await strip(world, client);
  streams[0]?.say("retry: 10\n\n").event("subok", subok(9)).event("batch", batch(9, 12, 10, 12));
  await world.settle();
  assert.deepEqual([client.state.phase, client.state.transport], ["open", "sse"]);
  assert.match(client.state.fallback?.because ?? "", /proxy/);
  const asked = world.asked.find((a) => a.url.pathname === "/sse");
  assert.equal((asked?.init.headers as Record<string, string>)["Authorization"], "Bearer t");
  assert.equal(asked?.url.searchParams.get("filter"), "#");
  assert.deepEqual([sub.live, sub.proof.delivered, client.clock.known], [true, 2, true]);

  streams[0]?.end(); // as proxies do after a while
  await world.advance(10);
  const again = world.asked.filter((a) => a.url.pathname === "/sse");
  assert.deepEqual(again.map((a) => a.url.searchParams.get("since")), [null, "E:12"]);
  streams[1]?.event("subok", subok(12, true)).event("batch", batch(12, 13, 13));
  await world.settle();
  assert.deepEqual(brief(updates), ["start@9", "data@12 10,12", "start +@12", "data@13 13"]);

  const tried = world.peers.length;
  await world.advance(4_000);
  assert.equal(world.peers.length, tried + 1);
  world.peer.cut();
  for (let i = 0; i < 10; i++) {
    streams[1]?.say(": heartbeat\n\n");
    await world.advance(10_000);
  }
  assert.equal(world.peers.length, tried + 1); // not all the time
  streams[1]?.say(": heartbeat\n\n");
  await world.advance(22_000);
  assert.ok(world.peers.length > tried + 1);
  world.peer.welcome();
  assert.deepEqual(world.peer.last("sub")["since"], { epoch: "E", offset: 13 });
  world.peer.say(bridge.topics, bridge.resumed(1, 13), bridge.batch(1, 13, 14, 14));
  assert.deepEqual([client.state.transport, client.state.fallback, sub.proof.delivered, sub.proof.complete], ["websocket", null, 4, true]);
  assert.ok(seen.some((s) => s.transport === "sse" && s.phase === "open"));
  client.close();
  await world.settle();
  assert.equal(world.timers, 0);
});

test("what a page cannot see of a refused handshake is asked over HTTP", async () => {
  for (const [answer, phase, kind, waitMs] of [
    [() => json({ error: "draining" }, 503, { "Retry-After": "3" }), "waiting", "http", 3_000], [() => json({ error: "origin" }, 403), "refused", "http", null], [() => json({ error: "expired" }, 401), "waiting", "token", 500],
  ] as [() => Response, string, string, number | null][]) {
    const world = new World();
    const client = world.connect();
    world.answer = answer;
    await world.settle();
    world.peer.cut();
    await world.settle();
    const { nextTryMs, cause, transport } = client.state;
    assert.deepEqual([client.state.phase, cause?.kind, nextTryMs === null ? null : nextTryMs - world.now, transport], [phase, kind, waitMs, "websocket"]);
    client.close();
  }
});

test("a proxy that knows no events is polled through, whatever status it says so with", async () => {
  for (const status of [403, 404, 405, 406, 501]) {
    const world = new World();
    const client = world.connect();
    const { sub } = follow(client, "#", { since: "E:9" });
    stripped(world, {
      "/sse": () => new Response("not here", { status, headers: { "Content-Type": "text/plain" } }),
      "/poll": () => json({ epoch: "E", from: 9, to: 9, recovered: true, reason: "", more: false, head: 9, readings: [] }),
    });
    await strip(world, client);
    await world.advance(5_000);
    assert.deepEqual([client.state.phase, client.state.transport, sub.live], ["open", "poll", true], `${status}: ${client.state.reason}`);
    assert.match(client.state.fallback?.because ?? "", new RegExp(`proxy.*sse: .*${status}`));
    client.close();
  }
});

test("what a proxy says while the bridge is away is no answer of the bridge, and ends nothing for good", async () => {
  const page = (body: string, status: number, type = "text/plain") => new Response(body, { status, headers: { "Content-Type": type } });
  for (const [what, answer] of [
    ["404", () => page("404 page not found", 404)], ["404 in JSON", () => json({ error: "Not Found" }, 404)], ["502", () => page("<h1>Bad Gateway</h1>", 502, "text/html")], ["a portal", () => page("<h1>Welcome</h1>", 200, "text/html")],
  ] as [string, () => Response][]) {
    for (const transports of [undefined, ["sse", "poll"], ["poll"]] as const) {
      const world = new World();
      const client = world.connect(transports ? { transports } : {});
      const { sub } = follow(client, "#", { since: "E:9" });
      const seen = states(client);
      world.answer = answer;
      for (let i = 0; i < 8; i++) {
        await world.settle();
        world.peers[world.peers.length - 1]?.cut();
        await world.advance(20_000);
      }
      assert.ok(seen.some((s) => /(?:something else|status 502)/.test(s.reason)), `${what}: ${client.state.reason}`);
      assert.deepEqual([seen.filter((s) => s.phase === "refused"), transports ? null : client.state.fallback], [[], null], `${what}: ${client.state.reason}`);
      stripped(world, { "/poll": () => json({ epoch: "E", from: 9, to: 9, recovered: true, reason: "", more: false, head: 9, readings: [] }) });
      for (let i = 0; i < 10 && !sub.live; i++) { // the longest wait is a minute
        await world.advance(10_000);
        if (!transports && world.peer.heard.length === 0) {
          world.peer.welcome().say(bridge.resumed(1, 9));
        }
      }
      assert.deepEqual([client.state.phase, sub.live], ["open", true], `${what}, ${transports ?? "all"}: ${client.state.reason}`);
      client.close();
    }
  }
});

test("a refusal whose body never comes holds nothing up", async () => {
  const stalled = (status: number) => () => new Response(new ReadableStream(), { status, headers: { "Content-Type": "application/json" } });
  for (const [transports, status] of [[undefined, 503], [undefined, 404], [["sse"], 503], [["sse"], 404], [["poll"], 429]] as const) {
    const world = new World();
    const client = world.connect({ timeoutMs: 3_000, ...(transports ? { transports } : {}) });
    follow(client, "#");
    await world.settle();
    world.answer = stalled(status);
    world.peers[0]?.cut();
    const seen = states(client);
    await world.advance(10_000);
    assert.ok(seen.some((s) => s.phase === "waiting"), `${transports ?? "all"} ${status}: ${client.state.phase}`);
    client.close();
  }
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  stripped(world, { "/publish": stalled(403) });
  await world.settle();
  const command = assert.rejects(client.publish("a", "1", { timeoutMs: 100 }), { reason: "status 403", sent: "no" });
  await world.advance(200);
  await command;
  client.close();
});

test("events that are held back: polling, and it says both", async () => {
  const world = new World();
  const client = world.connect({ timeoutMs: 3_000 });
  const { sub, updates } = follow(client, "#", { snapshot: true });
  let poll = 0;
  const since: (string | null)[] = [];
  const answers = [
    { epoch: "E", from: 9, to: 9, recovered: false, reason: "no-cursor", more: false, head: 9, readings: [], snapshot: [reading(4)] },
    { epoch: "E", from: 9, to: 12, recovered: true, reason: "", more: true, head: 15, readings: [reading(10), reading(12)] },
    { epoch: "E", from: 12, to: 20, recovered: true, reason: "", more: false, head: 20, readings: [reading(13)], gap: { from: 14, to: 20, count: 6, reason: "acl" } },
    { epoch: "E", from: 20, to: 50, recovered: false, reason: "evicted", more: false, head: 50, readings: [], gap: { from: 20, to: 50, count: 30, reason: "evicted" }, snapshot: [reading(40)] },
  ];
  stripped(world, {
    "/poll": (a) => {
      since.push(a.url.searchParams.get("since"));
      return poll < answers.length ? json(answers[poll++] as object) : new Promise<Response>(() => {});
    },
  });
  await strip(world, client);
  assert.equal(client.state.transport, "sse");
  await world.advance(8_000);
  assert.deepEqual([client.state.transport, client.state.phase], ["poll", "open"]);
  assert.match(client.state.fallback?.because ?? "", /proxy.*sse: no event came/);
  assert.deepEqual(brief(updates), ["start@half", "snapshot@9 4", "data@12 10,12", "data@14 13", "gap acl6@20", "gap evicted30@half", "start@half", "snapshot@50 40"]);
  assert.deepEqual(since, [null, "E:9", "E:12", "E:20", "E:50"]);
  assert.deepEqual([sub.proof.delivered, sub.proof.missing, sub.proof.gaps], [3, 36, 2]);
  client.close();
});

test("a poll that comes back with its cursor is open at once, not when a reading comes", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  const waits: (string | null)[] = [];
  stripped(world, { "/poll": (a) => {
    waits.push(a.url.searchParams.get("wait"));
    const quiet = json({ epoch: "E", from: 9, to: 9, recovered: true, reason: "", more: false, head: 9, readings: [] });
    return a.url.searchParams.has("wait") ? new Promise(() => {}) : quiet; // a bridge with nothing to say waits as long as it may
  } });
  const { sub } = follow(client, "#", { since: "E:9" });
  await world.advance(1_000);
  assert.deepEqual([client.state.phase, sub.live, waits], ["open", true, [null, "25s"]]);
  client.close();
});

test("without WebSocket in the browser, and with one way alone", async () => {
  const world = new World();
  const client = world.connect({ env: { ...world.env(), WebSocket: null } });
  const streams = stripped(world, {});
  follow(client, "#");
  await world.settle();
  streams[0]?.event("subok", subok(9));
  await world.settle();
  assert.deepEqual([client.state.transport, client.state.fallback?.because], ["sse", "this browser has no WebSocket"]);
  await world.advance(1_000_000);
  assert.equal(world.peers.length, 0);
  client.close();
  assert.throws(() => world.connect({ transports: ["websocket"], env: { ...world.env(), WebSocket: null } }), /nothing for websocket/);
});

test("broken chains over HTTP are fetched again, refusals of a filter end it alone", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse"] });
  const streams = stripped(world, { "/sse": (asked) => {
    if (asked.url.searchParams.get("filter") === "secret") {
      return json({ error: "forbidden", detail: "no" }, 403);
    }
    streams.push(new Stream(asked.init.signal));
    return (streams[streams.length - 1] as Stream).response;
  } });
  const { sub, updates } = follow(client, "#");
  const secret = follow(client, "secret");
  await world.settle();
  streams[0]?.event("subok", subok(9)).event("batch", batch(9, 12, 12)).event("batch", batch(13, 14, 14));
  await world.settle();
  assert.deepEqual([client.state.cause?.kind, sub.proof.broken, secret.updates[0]?.kind], ["broken", 1, "end"]);
  await world.advance(500);
  streams[1]?.event("subok", subok(12, true)).event("batch", { ...batch(12, 14, 14), epoch: "F" });
  await world.settle();
  assert.equal(sub.proof.broken, 2);
  await world.advance(1_000);
  streams[2]?.event("subok", subok(12, true)).event("batch", batch(12, 14, 13, 14));
  await world.settle();
  assert.deepEqual(brief(updates), ["start@9", "data@12 12", "start +@12", "start +@12", "data@14 13,14"]);
  client.close();
});

test("the ends of a stream have their consequences", async () => {
  for (const [name, data, phase, waitMs] of [
    ["draining", { retry_ms: 840 }, "waiting", 840], ["end", { reason: "expired" }, "waiting", 0], ["end", { reason: "revoked" }, "waiting", 500], ["end", { reason: "shutdown" }, "waiting", 500],
  ] as const) {
    const world = new World();
    const client = world.connect({ transports: ["sse"] });
    const streams = stripped(world, {});
    follow(client, "#");
    await world.settle();
    streams[0]?.event("subok", subok(9));
    await world.settle();
    streams[0]?.event(name, data).end();
    await world.settle();
    assert.deepEqual([client.state.phase, (client.state.nextTryMs ?? NaN) - world.now], [phase, waitMs], name);
    client.close();
  }
});

test("modes over HTTP: of each topic the newest once a tick, the rest counted, the cursor only with what was passed on", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse"] });
  const streams = stripped(world, {});
  const { sub, updates } = follow(client, "#", { mode: "latest", tickMs: 1_000 });
  await world.settle();
  const all = (from: number, to: number, ...list: [number, string][]) => ({ epoch: "E", from, to, readings: list.map(([o, topic]) => reading(o, topic)) });
  streams[0]?.event("subok", subok(0)).event("batch", all(0, 2, [1, "a"], [2, "b"]));
  await world.settle();
  streams[0]?.event("batch", all(2, 5, [3, "a"], [4, "b"], [5, "a"])).event("batch", all(5, 6, [6, "c"]));
  await world.settle();
  assert.equal(sub.cursor?.offset, 2);
  await world.advance(1_000);
  assert.deepEqual(brief(updates), ["start@0", "data@2 1,2", "data -1@6 4,5,6"]);
  const last = updates[2];
  assert.ok(last?.kind === "data" && last.from === 2 && last.to === 6);
  streams[0]?.event("batch", all(6, 7, [7, "a"])).event("gap", { epoch: "E", from: 7, to: 9, count: 2, reason: "acl" });
  await world.settle();
  assert.deepEqual(brief(updates).slice(3), ["data@7 7", "gap acl2@9"]);
  client.close();
});

test("a stream that falls silent is opened anew where it was", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse"] });
  const streams = stripped(world, {});
  const { sub } = follow(client, "#");
  await world.settle();
  streams[0]?.event("subok", subok(9)).event("batch", batch(9, 12, 12));
  await world.advance(29_000);
  assert.equal(streams.length, 1);
  streams[0]?.say(": heartbeat\n\n");
  await world.advance(29_000);
  assert.equal(streams.length, 1);
  await world.advance(10_000);
  assert.equal(streams.length, 2);
  streams[1]?.event("subok", subok(12, true));
  await world.settle();
  assert.deepEqual([client.state.phase, sub.live, sub.proof.resumes], ["open", true, 1]);
  client.close();
});

test("more subscriptions than a browser has connections are polled, without holding any", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse"] });
  const waits: (string | null)[] = [];
  const streams = stripped(world, { "/poll": (a) => {
    waits.push(a.url.searchParams.get("wait"));
    const at = Number(a.url.searchParams.get("since")?.split(":")[1] ?? 9);
    return json({ epoch: "E", from: at, to: at, recovered: a.url.searchParams.has("since"), reason: "", more: false, head: at, readings: [] });
  } });
  const all = Array.from({ length: 6 }, (_, i) => follow(client, `topic/${i}`));
  await world.settle();
  streams.forEach((s) => s.event("subok", subok(9)));
  await world.advance(3_500);
  assert.equal(streams.length, 2);
  assert.ok(all.every((a) => a.sub.live), all.map((a) => a.sub.live).join());
  assert.deepEqual([new Set(waits).size, waits[0], waits.length >= 12 && waits.length <= 16], [1, null, true]);
  client.close();
});

test("a stream that other tabs leave no connection is polled alone, while the others stand", async () => {
  const world = new World();
  const client = world.connect({ transports: ["sse", "poll"], timeoutMs: 3_000 });
  const waits: (string | null)[] = [];
  const open: Stream[] = [];
  let asked = 0;
  let full = true;
  stripped(world, {
    "/sse": (a) => {
      const isQueued = a.url.searchParams.get("filter") === "queued";
      asked += isQueued ? 1 : 0;
      if (isQueued && full) {
        return new Promise<Response>(() => {}); // in the browser's queue
      }
      const made = new Stream(a.init.signal);
      open.push(isQueued ? made.event("subok", subok(9, true)) : made);
      return made.response;
    },
    "/poll": (a) => {
      waits.push(a.url.searchParams.get("wait"));
      return json({ epoch: "E", from: 9, to: 9, recovered: true, reason: "", more: false, head: 9, readings: [] });
    },
  });
  const seen = states(client);
  const stands = follow(client, "stands");
  const queued = follow(client, "queued", { since: "E:9" });
  await world.settle();
  open[0]?.event("subok", subok(9));
  await world.advance(6_000);
  assert.deepEqual([stands.sub.live, queued.sub.live, client.state.transport, open.length], [true, true, "sse", 1], client.state.reason);
  assert.ok(seen.every((s) => s.phase !== "waiting"));
  assert.ok(waits.length >= 2 && waits.every((w) => w === null), waits.join()); // each gives its connection back at once
  const heard = async (ms: number) => {
    for (let i = 0; i < ms; i += 10_000) {
      open.forEach((s) => s.say(": heartbeat\n\n"));
      await world.advance(10_000);
    }
  };
  await heard(310_000);
  assert.deepEqual([asked, queued.sub.live], [2, true]); // tried again, in vain
  full = false;
  await heard(600_000);
  assert.equal(asked, 3);
  const polls = waits.length;
  await heard(20_000);
  assert.deepEqual([queued.sub.live, waits.length, queued.sub.proof.complete], [true, polls, true]);
  client.close();
});

test("commands go by POST", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  stripped(world, { "/publish": (a) => (JSON.parse(String(a.init.body)).topic === "a" ? json({ type: "pubok" }) : json({ type: "puberr", reason: "rate", detail: "slowly" }, 429)) });
  await world.settle();
  assert.equal(client.state.phase, "open"); // with nothing to follow, too
  await client.publish("a", Uint8Array.of(255));
  assert.deepEqual(JSON.parse(String(world.asked[world.asked.length - 1]?.init.body)), { topic: "a", base64: "/w==", qos: 0 });
  await assert.rejects(client.publish("b", "1"), { reason: "rate", sent: "no" });
  client.close();
});
