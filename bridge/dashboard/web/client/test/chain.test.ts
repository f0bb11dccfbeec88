import assert from "node:assert/strict";
import { test } from "node:test";
import { brief, bridge, follow, World } from "./world.ts";

const good = [bridge.topics, bridge.fresh(1), bridge.batch(1, 9, 12, 10, 12)]; // the cursor is 12 then, with 2 delivered
const b = bridge.batch;

const bad: Record<string, unknown> = {
  "a hole": b(1, 13, 14, 14),
  "an overlap": b(1, 11, 14, 12),
  "backwards": b(1, 12, 11),
  "a reading before the interval": { ...b(1, 12, 14), t: 1, readings: [[0, 0, 1, 0, "x"]] },
  "a reading after the interval": b(1, 12, 14, 15),
  "a reading twice": { ...b(1, 12, 15), t: 1, readings: [[2, 0, 1, 0, "x"], [0, 0, 1, 0, "x"]] },
  "no from": { type: "batch", id: 1, to: 14, readings: [] },
  "to beyond 2^53": '{"type":"batch","id":1,"from":12,"to":9007199254740993,"readings":[]}',
  "from is no number": { ...b(1, 12, 14), from: "12" },
  "names in another case": { type: "batch", id: 1, FROM: 12, TO: 14, READINGS: [] },
  "no readings": { type: "batch", id: 1, from: 12, to: 14 },
  "readings null": { type: "batch", id: 1, from: 12, to: 14, readings: null },
  "readings without t": { type: "batch", id: 1, from: 12, to: 14, readings: [[1, 0, 1, 0, "x"]] },
  "a reading that is an object": { ...b(1, 12, 14), t: 1, readings: [{ o: 13 }] },
  "a reading without payload": { ...b(1, 12, 14), t: 1, readings: [[1, 0, 1, 0]] },
  "a reading with bad base64": { ...b(1, 12, 14), t: 1, readings: [[1, 0, 1, 8, "*"]] },
  "a reading with half of base64": { ...b(1, 12, 14), t: 1, readings: [[1, 0, 1, 8, "AAE"]] },
  "a topic that was not announced": { ...b(1, 12, 14), t: 1, readings: [[1, 0, 7, 0, "x"]] },
  "a quality of service 3": { ...b(1, 12, 14), t: 1, readings: [[1, 0, 1, 3, "x"]] },
  "a gap elsewhere": { type: "gap", id: 1, from: 13, to: 20, count: 7, reason: "evicted" },
  "a gap backwards": { type: "gap", id: 1, from: 12, to: 2, count: 7, reason: "evicted" },
  "a gap of no size": { type: "gap", id: 1, from: 12, to: 20, count: 0, reason: "evicted" },
  "a gap of another size": { type: "gap", id: 1, from: 12, to: 20, count: 7, reason: "evicted" },
  "a gap without count": { type: "gap", id: 1, from: 12, to: 20, reason: "evicted" },
  "subok twice": bridge.fresh(1),
  "a snapshot not asked for": { type: "snapshot", id: 1, part: 1, parts: 1, readings: [] },
  "a number announced twice": { type: "topics", topics: [[1, "b"]] },
  "topics without a list": { type: "topics" },
  "heartbeat: more was sent": bridge.heartbeat(1, 12, 3),
  "heartbeat: less was sent": bridge.heartbeat(1, 12, 1),
  "heartbeat: the cursor is ahead": bridge.heartbeat(1, 13, 2),
  "heartbeat: a gap was not told": bridge.heartbeat(1, 12, 2, 4),
  "heartbeat: not a word of it": { type: "heartbeat", epoch: "E", head: 20, cursors: {}, delivered: {}, gaps: {} },
  "a batch that conflates": { ...b(1, 12, 14, 13), conflated: 1 },
  "an open batch": { ...b(1, 12, 14, 13), open: true },
  "not JSON": '{"type":"batch"',
  "not an object": "[]",
  "null": "null",
  "a number": "7",
  "deep JSON": "[".repeat(200_000),
  "a binary message": new ArrayBuffer(3),
};

for (const [name, message] of Object.entries(bad)) {
  test(`broken: ${name}`, async () => {
    const world = new World();
    const client = world.connect();
    const { sub, updates } = follow(client, "#");
    const broken: string[] = [];
    client.on("broken", (e) => broken.push(e.detail));
    await world.settle();
    const first = world.peer.welcome();
    first.say(...good, message, b(1, 12, 20, 13)); // what follows on a broken session counts for nothing
    assert.equal(client.state.phase, "waiting");
    assert.equal(client.state.cause?.kind, "broken");
    assert.ok(first.closed);
    await world.advance(500);
    const second = world.peer.welcome();
    assert.deepEqual(second.last("sub")["since"], { epoch: "E", offset: 12 });
    second.say(bridge.topics, bridge.resumed(1, 12), b(1, 12, 14, 13));
    assert.deepEqual(brief(updates), ["start@9", "data@12 10,12", "start +@12", "data@14 13"]);
    const proof = sub.proof;
    assert.deepEqual([proof.delivered, proof.gaps, proof.resumes, proof.complete], [3, 0, 1, true]);
    assert.equal(proof.broken, broken.length); // of what can be laid to a subscription
    client.close();
    assert.equal(world.timers, 0);
  });
}

test("what adds up goes through: gaps declare, heartbeats confirm, empty intervals move the cursor", async () => {
  const world = new World();
  const client = world.connect();
  const { sub, updates } = follow(client, "#");
  await world.settle();
  world.peer.welcome().say(...good, bridge.heartbeat(1, 12, 2), b(1, 12, 15), { type: "gap", id: 1, from: 15, to: 20, count: 5, reason: "evicted" }, b(1, 20, 21, 21), bridge.heartbeat(1, 21, 3, 5));
  assert.deepEqual(brief(updates), ["start@9", "data@12 10,12", "data@15", "gap evicted5@20", "data@21 21"]);
  const { delivered, gaps, missing, complete, from, to, checkedMs } = sub.proof;
  assert.deepEqual({ delivered, gaps, missing, complete }, { delivered: 3, gaps: 1, missing: 5, complete: false });
  assert.deepEqual([from?.offset, to?.offset, checkedMs], [20, 21, world.now]);
  assert.equal(client.state.phase, "open");
  client.close();
});

test("readings are what was published", async () => {
  const world = new World();
  const client = world.connect();
  const { updates } = follow(client, "#");
  await world.settle();
  world.peer.welcome().say(bridge.topics, bridge.fresh(1), { type: "batch", id: 1, from: 9, to: 20, t: 1_000, readings: [[1, 0, 1, 6, "21.5 °C"], [2, -400, "named/topic", 8, "AAH/"], [3, 500, 1, 0, ""]] });
  const readings = updates[1]?.readings ?? [];
  assert.deepEqual(readings.map((r) => [r.offset, r.time, r.topic, r.qos, r.retain, r.isText, r.text()]), [
    [10, 1_000, "a", 2, true, true, "21.5 °C"], [12, 600, "named/topic", 0, false, false, "\u0000\u0001\ufffd"], [15, 1_100, "a", 0, false, true, ""],
  ]);
  assert.deepEqual([...(readings[1]?.bytes ?? [])], [0, 1, 255]);
  assert.deepEqual([...(readings[0]?.bytes ?? [])].slice(-3), [0xc2, 0xb0, 0x43]);
  client.close();
});

test("a snapshot is whole or comes again; what lay between is a gap that names it", async () => {
  const world = new World();
  const client = world.connect();
  const { sub, updates } = follow(client, "#", { snapshot: true });
  const part = (id: number, n: number, of: number, ...offsets: number[]) => ({ type: "snapshot", id, part: n, parts: of, t: 1, readings: offsets.map((o, i) => [i === 0 ? o : o - (offsets[i - 1] as number), 0, 1, 0, "x"]) });
  await world.settle();
  world.peer.welcome().say(bridge.topics, bridge.fresh(1), part(1, 1, 2, 3, 7));
  assert.equal(sub.cursor, null);
  world.peer.cut();
  await world.advance(500);
  assert.equal(world.peer.welcome().last("sub")["since"], undefined);
  world.peer.say(bridge.topics, bridge.fresh(1, 30), part(1, 1, 1, 20), b(1, 30, 31, 31));
  assert.deepEqual(brief(updates), ["start@half", "snapshot@half 3,7", "gap snapshot21@half", "start@half", "snapshot@30 20", "data@31 31"]);
  for (const [name, wrong] of Object.entries({ "a part too many": part(1, 2, 1), "a part before its turn": part(1, 2, 3), "a reading after it": part(1, 1, 1, 32), "another number of parts": part(1, 1, 2) })) {
    const other = new World();
    const one = other.connect();
    const got = follow(one, "#", { snapshot: true });
    await other.settle();
    other.peer.welcome().say(bridge.topics, bridge.fresh(1, 30), name === "another number of parts" ? part(1, 1, 3) : [], wrong, name === "another number of parts" ? part(1, 2, 2) : b(1, 30, 31, 31));
    assert.equal(one.state.phase, "waiting", name);
    assert.equal(got.sub.proof.delivered, 0, name);
    one.close();
  }
  client.close();
});

test("another journal is a gap of unknown size", async () => {
  const world = new World();
  const client = world.connect();
  const { sub, updates } = follow(client, "#");
  await world.settle();
  world.peer.welcome().say(...good);
  world.peer.cut();
  await world.advance(500);
  world.peer.welcome().say({ ...bridge.fresh(1, 3), epoch: "F", reason: "epoch" });
  assert.deepEqual(brief(updates).slice(2), ["gap epoch?@3", "start@3"]);
  assert.deepEqual([sub.proof.unknown, sub.proof.complete, sub.proof.missing], [true, false, 0]);
  client.close();
});

test("a subscription that the page closes at a gap is not live", async () => {
  const world = new World();
  const client = world.connect();
  const sub = client.subscribe("#", {}, (u) => u.kind === "gap" && sub.close());
  await world.settle();
  world.peer.welcome().say(...good);
  world.peer.cut();
  await world.advance(500);
  world.peer.welcome().say({ ...bridge.fresh(1, 3), epoch: "F", reason: "epoch" });
  assert.deepEqual([sub.live, client.subscriptions.size], [false, 0]);
  client.close();
});

test("a cursor from before is asked for, and a recovery elsewhere is none", async () => {
  const world = new World();
  const client = world.connect();
  const { updates } = follow(client, "#", { since: "E:4" });
  await world.settle();
  world.peer.welcome();
  assert.deepEqual(world.peer.last("sub")["since"], { epoch: "E", offset: 4 });
  world.peer.say(bridge.resumed(1, 5));
  assert.equal(client.state.cause?.kind, "broken");
  assert.deepEqual(updates, []);
  client.close();
});

test("what a listener throws is reported and stops nothing", async () => {
  const world = new World();
  const client = world.connect();
  let calls = 0;
  const sub = client.subscribe("#", {}, () => {
    calls++;
    throw new Error("of the page");
  });
  await world.settle();
  world.peer.welcome().say(...good);
  assert.deepEqual([calls, world.errors.length, sub.cursor?.offset, client.state.phase], [2, 2, 12, "open"]);
  client.close();
});

test("nothing comes after close, of a subscription or of the client", async () => {
  const world = new World();
  const client = world.connect();
  const first = follow(client, "#");
  const second = follow(client, "b");
  await world.settle();
  const peer = world.peer.welcome();
  peer.say(...good);
  first.sub.close();
  assert.deepEqual(peer.last("unsub"), { type: "unsub", id: 1 });
  peer.say(b(1, 12, 13, 13), bridge.heartbeat(2, 0, 0)); // under way already
  assert.equal(first.updates.length, 2);
  assert.deepEqual([...client.subscriptions], [second.sub]);
  client.close();
  client.close();
  peer.say({ ...bridge.fresh(2) });
  assert.equal(second.updates.length, 0);
  assert.deepEqual([client.state.phase, world.timers, world.document.count, world.window.count], ["closed", 0, 0, 0]);
  assert.throws(() => client.subscribe("#", {}, () => {}), /closed/);
});

test("a refusal ends the subscription alone", async () => {
  const world = new World();
  const client = world.connect();
  const one = follow(client, "secret/#");
  await world.settle();
  world.peer.welcome().say({ type: "suberr", id: 1, reason: "forbidden", detail: "not yours" });
  const end = one.updates[0];
  assert.ok(end?.kind === "end" && end.error.reason === "forbidden" && end.error.message.includes("secret/#"));
  assert.equal(client.subscriptions.size, 0);
  assert.equal(client.state.phase, "open");
  client.close();
});

test("options that make no sense are refused with what, where and how", async () => {
  const world = new World();
  const client = world.connect();
  for (const [options, want] of [
    [{ mode: "sample" }, /everyMs/], [{ mode: "latest", tickMs: 5 }, /tickMs is 5.*10 to 60000/], [{ tickMs: 50 }, /tickMs/], [{ mode: "newest" }, /all, latest or sample/], [{ since: "E" }, /EPOCH:OFFSET/],
    [{ since: { epoch: "", offset: 3 } }, /EPOCH:OFFSET/], [{ since: { epoch: "E", offset: 2 ** 53 } }, /2\^53/], [{ hiddenTickMs: 1e9 }, /hiddenTickMs/],
  ] as [object, RegExp][]) {
    assert.throws(() => client.subscribe("#", options, () => {}), (e: Error) => e instanceof RangeError && want.test(e.message), JSON.stringify(options));
  }
  assert.throws(() => client.subscribe("", {}, () => {}), RangeError);
  client.close();
  for (const [options, want] of [
    [{ url: "http://" }, /no URL/], [{ url: "ftp://h/ws" }, /ws\(s\)/], [{ url: "wss://h/ws?ticket=x" }, /query/], [{ url: "wss://u:p@h/ws" }, /user/], [{ ticket: () => "x" }, /both/],
    [{ minBackoffMs: 0 }, /minBackoffMs/], [{ maxBackoffMs: 10 }, /maxBackoffMs/], [{ transports: [] }, /transports/], [{ transports: ["carrier pigeon"] }, /carrier pigeon/], [{ encoding: "xml" }, /json or cbor/],
  ] as [object, RegExp][]) {
    assert.throws(() => world.connect(options), (e: Error) => e instanceof TypeError && want.test(e.message), JSON.stringify(options));
  }
});
