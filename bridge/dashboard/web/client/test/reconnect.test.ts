import assert from "node:assert/strict";
import { test } from "node:test";
import { bridge, brief, follow, states, World } from "./world.ts";

/** Opens, ends with the code and returns what the client does: its phase and the wait. */
async function after(code: number, reason: object, options: object = {}) {
  const world = new World();
  const client = world.connect(options);
  await world.settle();
  world.peer.welcome();
  await world.advance(100);
  world.peer.bye(code, reason);
  await world.settle();
  const { phase, nextTryMs, cause } = client.state;
  client.close();
  return [phase, nextTryMs === null ? null : nextTryMs - world.now, cause?.kind];
}

test("each close code has its own consequence", async () => {
  for (const [code, reason, phase, waitMs, kind] of [
    [1000, {}, "waiting", 500, "closed"], [1001, {}, "waiting", 500, "closed"], [1006, {}, "waiting", 500, "network"], [1011, {}, "waiting", 500, "closed"],
    [1012, { retry_ms: 840 }, "waiting", 840, "closed"], [1013, { retry_ms: 1_234 }, "waiting", 1_234, "closed"], [1012, { retry_ms: 1e12 }, "waiting", 600_000, "closed"], [1012, { retry_ms: "soon" }, "waiting", 500, "closed"],
    [1002, {}, "refused", null, "closed"], [1003, {}, "refused", null, "closed"], [1007, {}, "refused", null, "closed"], [1009, {}, "refused", null, "closed"],
    [4001, {}, "refused", null, "closed"], [4002, {}, "waiting", 500, "token"], [4003, {}, "refused", null, "closed"], [4005, {}, "refused", null, "closed"], [4006, {}, "refused", null, "closed"],
    [4007, {}, "waiting", 500, "token"], [4100, {}, "waiting", 500, "closed"], [4101, { retry_ms: 3_000 }, "waiting", 3_000, "closed"], [4102, { retry_ms: 900 }, "waiting", 900, "closed"], [4103, {}, "waiting", 500, "closed"],
    [4200, {}, "waiting", 0, "token"], [4999, {}, "waiting", 500, "closed"],
  ] as const) {
    assert.deepEqual(await after(code, reason), [phase, waitMs, kind], String(code));
  }
  for (const code of [4002, 4007]) { // with the cookie alone there is no other
    assert.deepEqual(await after(code, {}, { token: undefined }), ["refused", null, "token"], String(code));
  }
  assert.deepEqual(await after(4200, {}, { token: undefined }), ["waiting", 0, "token"]);
});

test("the wait grows until a welcome, and not even that heals what is overload", async () => {
  const world = new World();
  const client = world.connect({ transports: ["websocket"], timeoutMs: 1e9 });
  const waits: number[] = [];
  client.on("state", (s) => s.nextTryMs !== null && waits.push(s.nextTryMs - world.now));
  await world.settle();
  for (let i = 0; i < 8; i++) { // full jitter: here half of 1 s, 2 s, 4 s …, at most of 60 s
    world.peer.cut();
    await world.advance(30_000);
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  world.peer.welcome();
  assert.equal(client.state.attempt, 0);
  world.peer.cut();
  await world.advance(500);
  for (const want of [1_000, 2_000]) {
    world.peer.welcome().bye(4100);
    assert.equal(waits[waits.length - 1], want);
    await world.advance(want);
  }
  world.peer.welcome();
  await world.advance(10); // the bridge keeps quiet
  world.peer.bye(4101, { retry_ms: 700 });
  assert.equal(waits[waits.length - 1], 700 + 4_000); // what it asks for, and its own on top
  client.close();
});

test("sessions that end at once make the wait grow, one that lasts heals it", async () => {
  const world = new World();
  const client = world.connect({ transports: ["websocket"], timeoutMs: 1e9 });
  const waits: number[] = [];
  client.on("state", (s) => s.phase === "waiting" && s.nextTryMs !== null && waits.push(s.nextTryMs - world.now));
  await world.settle();
  world.pongs = true;
  for (const wantMs of [500, 1_000, 2_000, 4_000, 4_000, 4_000]) { // no more than eight times the least
    world.peer.welcome();
    await world.advance(1_000);
    world.peer.cut();
    await world.advance(wantMs);
  }
  world.peer.cut(); // not even a welcome: goes on from there
  await world.advance(8_000);
  world.peer.welcome();
  await world.advance(1_000);
  world.peer.bye(1012, { retry_ms: 840 }); // a restart in order has its own wait
  await world.advance(840);
  world.peer.welcome();
  await world.advance(6_000);
  world.peer.cut();
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 4_000, 4_000, 8_000, 840, 500]);
  client.close();
});

test("draining is told, and its wait kept", async () => {
  const world = new World();
  const client = world.connect();
  await world.settle();
  world.peer.welcome().say({ type: "draining", retry_ms: 840 });
  assert.deepEqual([client.state.phase, client.state.draining], ["open", true]);
  world.peer.cut(); // the close frame is lost
  assert.equal(client.state.nextTryMs, world.now + 840);
  assert.equal(client.state.draining, false);
  client.close();
});

test("a refused token is not shown again; another heals", async () => {
  const world = new World();
  let token = "old";
  const client = world.connect({ token: () => token, timeoutMs: 1e9 });
  await world.settle();
  world.peer.open();
  assert.equal(world.peer.last("hello")["token"], "old");
  world.peer.bye(4002, { reason: "token: signature" });
  await world.advance(1_000);
  assert.deepEqual([world.peers.length, client.state.phase, client.state.cause?.kind], [1, "refused", "token"]);
  assert.match(client.state.reason, /no good credential/);
  await world.advance(200_000); // it goes on asking for another, slowly, and shows none to the bridge
  assert.equal(world.peers.length, 1);
  token = "new";
  await world.advance(60_000);
  assert.equal(world.peers.length, 2);
  world.peer.welcome();
  assert.deepEqual([world.peer.last("hello")["token"], client.state.phase], ["new", "open"]);
  client.close();
});

test("a refused ticket is no reason to end: there is another for the asking", async () => {
  for (const [code, reason] of [[4002, "token: ticket"], [4007, "revoked"]] as const) {
    const world = new World();
    let n = 0;
    const client = world.connect({ token: undefined, ticket: () => `ticket-${++n}`, timeoutMs: 1e9 } as object);
    await world.settle();
    const refuse = () => {
      world.peer.open();
      world.peer.bye(code, { reason });
    };
    refuse();
    assert.deepEqual([client.state.phase, client.state.nextTryMs], ["waiting", world.now + 500], String(code));
    await world.advance(500);
    refuse(); // two in a row: whoever gives them has no good one yet
    assert.deepEqual([client.state.phase, client.state.cause?.kind, client.state.nextTryMs], ["refused", "token", world.now + 45_000]);
    await world.advance(45_000);
    refuse();
    await world.advance(45_000);
    assert.match(world.peer.url, /ticket=ticket-4$/);
    world.peer.welcome();
    assert.equal(client.state.phase, "open");
    world.peer.say({ type: "auth-expiring", expires: "soon" });
    await world.advance(5_000);
    assert.equal(n, 4); // none is fetched that cannot be used
    world.peer.bye(4200, { reason: "token: expired" });
    await world.advance(0);
    world.peer.welcome();
    assert.deepEqual([client.state.phase, n], ["open", 5]);
    client.close();
  }
});

test("a wait that the bridge asks for is kept, whoever looks at the page", async () => {
  for (const aside of [false, true]) {
    const world = new World();
    const client = world.connect();
    await world.settle();
    world.peer.welcome().bye(1012, { retry_ms: 8_000 });
    const until = world.now + 8_000;
    await world.advance(3_000);
    if (aside) {
      world.window.fire("pagehide", { persisted: true });
      world.window.fire("pageshow", { persisted: true });
    }
    world.hide(true);
    world.hide(false);
    world.window.fire("online");
    await world.advance(1_000);
    assert.deepEqual([world.peers.length, client.state.phase, client.state.nextTryMs], [1, "waiting", until]);
    client.retry(); // somebody presses the button
    await world.settle();
    assert.equal(world.peers.length, 2);
    client.close();
  }
});

test("no token, for now, is no reason to end", async () => {
  const world = new World();
  let fails = true;
  const client = world.connect({ token: () => (fails ? Promise.reject(new Error("the issuer is away")) : Promise.resolve("t")) });
  await world.settle();
  assert.deepEqual([client.state.phase, client.state.cause?.reason, world.peers.length], ["waiting", "no token: the issuer is away", 0]);
  fails = false;
  await world.advance(500);
  assert.equal(world.peers.length, 1);
  client.close();
});

test("an expired session of a cookie explains itself, and goes on from its cursor after a new sign-in", async () => {
  const world = new World();
  const client = world.connect({ token: undefined } as object);
  const { updates } = follow(client, "#");
  const expiring: string[] = [];
  client.on("expiring", (e) => expiring.push(e.expires));
  await world.settle();
  world.peer.welcome();
  assert.equal(world.peer.last("hello")["token"], undefined);
  world.peer.say(bridge.topics, bridge.fresh(1), bridge.batch(1, 9, 12, 12), { type: "auth-expiring", expires: "soon" });
  assert.deepEqual(expiring, ["soon"]);
  world.peer.bye(4200, { reason: "token: expired" });
  await world.advance(0);
  world.peer.open();
  world.peer.bye(4002, { reason: "token: missing" });
  assert.deepEqual([client.state.phase, client.state.reason, client.state.nextTryMs], ["refused", "the bridge does not take the credential: token: missing", null]);
  await world.advance(600_000);
  assert.equal(world.peers.length, 2);
  client.retry();
  await world.settle();
  world.peer.welcome();
  assert.deepEqual(world.peer.last("sub")["since"], { epoch: "E", offset: 12 });
  world.peer.say(bridge.resumed(1, 12));
  assert.deepEqual(brief(updates), ["start@9", "data@12 12", "start +@12"]);
  world.peer.bye(4002, { reason: "token: missing" });
  await world.advance(31_000);
  world.hide(true);
  world.hide(false); // another tab may have signed in meanwhile
  await world.settle();
  assert.equal(client.state.phase, "connecting");
  client.close();
});

test("a token is refreshed in place, with another one than before", async () => {
  const world = new World();
  const tokens = ["one", "one", "two"];
  const client = world.connect({ token: () => tokens.shift() ?? "two" });
  const refreshed: string[] = [];
  client.on("refreshed", (e) => refreshed.push(e.expires));
  await world.settle();
  world.peer.welcome().say({ type: "auth-expiring", expires: "soon" });
  await world.settle();
  assert.equal(world.peer.commands("auth").length, 0); // the same would make the bridge ask once more
  await world.advance(500);
  assert.deepEqual(world.peer.last("auth"), { type: "auth", token: "two" });
  world.peer.say({ type: "authok", expires: "later" });
  assert.deepEqual([refreshed, client.state.phase], [["later"], "open"]);
  client.close();
});

test("silence is asked about, then cut; a late timer alone cuts nothing", async () => {
  const world = new World();
  const client = world.connect();
  const { sub } = follow(client, "#");
  await world.settle();
  const first = world.peer.welcome();
  first.say(bridge.fresh(1));
  await world.advance(19_000);
  first.say(bridge.heartbeat(1, 9, 0));
  const before = first.commands("ping").length;
  await world.stall(600_000); // throttled: all that came meanwhile waits behind the timer
  assert.ok(first.commands("ping").length > before);
  first.say(bridge.heartbeat(1, 9, 0));
  await world.advance(6_000);
  assert.equal(client.state.phase, "open");
  await world.advance(28_000); // 20 s to 22.5 s, and the answer's time
  assert.equal(client.state.phase, "connecting", client.state.reason);
  assert.ok(first.closed);
  assert.equal(sub.live, false);
  world.peer.welcome();
  assert.deepEqual(world.peer.last("sub")["since"], { epoch: "E", offset: 9 });
  client.close();
});

test("silence is told soon, and taken back by whatever comes; nobody is asked for a page that is hidden", async () => {
  const world = new World();
  const client = world.connect();
  await world.settle();
  const first = world.peer.welcome({ heartbeat_ms: 25_000 });
  const since: (number | null)[] = [];
  client.on("state", (s) => since[since.length - 1] !== s.silentSinceMs && since.push(s.silentSinceMs));
  await world.advance(5_000);
  for (const ping of first.commands("ping")) {
    first.say({ type: "pong", id: ping["id"], time_us: 1e15 });
  }
  const heardMs = world.now;
  await world.advance(9_900);
  assert.equal(client.state.silentSinceMs, null);
  await world.advance(5_600); // asked between 10 s and 12.5 s, and 3 s for the answer
  assert.deepEqual([client.state.phase, client.state.silentSinceMs], ["open", heardMs]);
  first.say({ type: "pong", id: "late", time_us: 1e15 });
  assert.equal(client.state.silentSinceMs, null);
  await world.advance(16_000);
  assert.notEqual(client.state.silentSinceMs, null);
  await world.advance(12_000); // 20 s to 22.5 s, and 5 s for the answer
  assert.deepEqual([client.state.phase, client.state.silentSinceMs], ["connecting", null]);
  assert.deepEqual(since.map((ms) => ms !== null), [false, true, false, true, false].slice(since[0] === null ? 0 : 1));
  client.close();

  const hidden = new World();
  hidden.document.visibilityState = "hidden";
  const other = hidden.connect();
  await hidden.settle();
  hidden.peer.welcome({ heartbeat_ms: 25_000 });
  await hidden.advance(19_000);
  assert.deepEqual([other.state.phase, other.state.silentSinceMs], ["open", null]);
  other.close();
});

test("after sleep the connection is asked at once, and the clock compared anew", async () => {
  const world = new World();
  const client = world.connect();
  await world.settle();
  const first = world.peer.welcome();
  await world.advance(60);
  first.say({ type: "pong", id: first.last("ping")["id"], time_us: 1e15 });
  assert.equal(client.clock.known, true);
  const before = first.commands("ping").length;
  world.sleep(3_600_000);
  await world.advance(7_500); // the next look
  assert.equal(first.commands("ping").length > before, true);
  await world.advance(5_100);
  assert.notEqual(client.state.phase, "open");
  assert.equal(client.clock.known, false);
  client.close();
});

test("the network comes and goes", async () => {
  const world = new World();
  const client = world.connect({ transports: ["websocket"], timeoutMs: 1e9 });
  await world.settle();
  world.peer.welcome();
  await world.advance(1_100);
  const before = world.peer.commands("ping").length;
  world.window.fire("offline");
  assert.deepEqual([client.state.online, world.peer.commands("ping").length], [false, before + 1]);
  await world.advance(5_100);
  assert.deepEqual([client.state.phase, client.state.cause?.kind], ["waiting", "silent"]);
  await world.advance(1_000);
  for (let i = 0; i < 6; i++) {
    world.peer.cut();
    await world.advance(30_000);
  }
  world.peer.cut();
  await world.advance(2_000);
  assert.equal(client.state.phase, "waiting");
  const tried = world.peers.length;
  world.window.fire("online");
  await world.settle();
  assert.deepEqual([client.state.online, client.state.phase, world.peers.length], [true, "connecting", tried + 1]);
  client.close();
});

test("a page that is put aside lets go, and comes back where it was", async () => {
  const world = new World();
  const client = world.connect();
  follow(client, "#");
  await world.settle();
  const first = world.peer.welcome();
  first.say(bridge.fresh(1));
  await world.advance(2_000);
  world.window.fire("pagehide", { persisted: true });
  assert.deepEqual([first.closed, client.state.phase, client.state.nextTryMs], [true, "waiting", null]);
  world.window.fire("pageshow", { persisted: true });
  await world.settle();
  world.peer.welcome();
  assert.deepEqual(world.peer.last("sub")["since"], { epoch: "E", offset: 9 });
  client.close();
});

test("a page that comes back at once, while it was connecting, connects", async () => {
  const world = new World();
  const client = world.connect();
  await world.settle();
  world.window.fire("pagehide", { persisted: true });
  assert.deepEqual([client.state.phase, client.state.nextTryMs], ["waiting", null]);
  world.window.fire("pageshow", { persisted: true });
  await world.settle();
  assert.equal(client.state.phase, "connecting");
  world.peer.welcome();
  assert.equal(client.state.phase, "open");
  client.close();
});

test("what is late, mute or foreign before the welcome ends the attempt", async () => {
  for (const [act, kind] of [
    [() => {}, "timeout"], [(w: World) => w.peer.open(), "timeout"], [(w: World) => (w.peer.open(), w.peer.say({ type: "batch" })), "broken"], [(w: World) => (w.peer.open(), w.peer.say("hello?")), "broken"],
    [(w: World) => w.peer.welcome({ heartbeat_ms: undefined }), "broken"], [(w: World) => w.peer.welcome({ compact: false }), "broken"], [(w: World) => w.peer.cut(), "network"],
  ] as [(w: World) => void, string][]) {
    const world = new World();
    const client = world.connect({ transports: ["websocket"], timeoutMs: 3_000 });
    const seen = states(client);
    await world.settle();
    act(world);
    await world.advance(3_000);
    assert.equal(seen.find((s) => s.phase === "waiting")?.cause?.kind, kind);
    client.close();
    assert.equal(world.timers, 0);
  }
});

test("commands are answered, once", async () => {
  const world = new World();
  const client = world.connect();
  await assert.rejects(client.publish("a", "1"), { reason: "offline", sent: "no" });
  await world.settle();
  const peer = world.peer.welcome();
  const good = client.publish("a", "1", { qos: 1 });
  const bad = client.publish("b", Uint8Array.of(0, 255));
  const lost = client.publish("c", "3");
  const late = client.publish("d", "4", { timeoutMs: 100 });
  const results = Promise.allSettled([good, bad, lost, late]);
  const [p1, p2] = peer.commands("pub");
  assert.deepEqual({ ...p1, id: 0 }, { type: "pub", id: 0, topic: "a", qos: 1, payload: "1" });
  assert.deepEqual({ ...p2, id: 0 }, { type: "pub", id: 0, topic: "b", qos: 0, base64: "AP8=" });
  peer.say({ type: "pubok", id: p1?.["id"] }, { type: "puberr", id: p2?.["id"], reason: "forbidden", detail: "no" }, { type: "pubok", id: p1?.["id"] }, { type: "pubok", id: 999 });
  await world.advance(200);
  peer.cut();
  assert.deepEqual((await results).map((r) => (r.status === "fulfilled" ? "ok" : `${r.reason.reason} ${r.reason.sent}`)), ["ok", "forbidden no", "lost perhaps", "timeout perhaps"]);
  const busy = new World();
  const other = busy.connect();
  await busy.settle();
  busy.peer.welcome();
  const many = Array.from({ length: 101 }, () => other.publish("a", "1"));
  await assert.rejects(many[100] as Promise<void>, { reason: "busy", sent: "no" });
  other.close();
  await Promise.allSettled(many);
  client.close();
});
