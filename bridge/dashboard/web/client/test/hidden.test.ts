import assert from "node:assert/strict";
import { test } from "node:test";
import { bridge, brief, follow, World } from "./world.ts";

const { topics, fresh, resumed, batch } = bridge;

test("a hidden tab gets what each subscription asked for, and its chain goes on", async () => {
  const world = new World();
  const client = world.connect();
  const live = follow(client, "live");
  const slow = follow(client, "slow", { mode: "latest", tickMs: 100 });
  const pause = follow(client, "pause", { hidden: "pause" });
  const thin = follow(client, "thin", { hidden: "slow", hiddenTickMs: 30_000 });
  const rare = follow(client, "rare", { mode: "sample", everyMs: 60_000 });
  await world.settle();
  world.pongs = true;
  const peer = world.peer.welcome();
  assert.deepEqual(peer.commands("sub").map((m) => [m["filter"], m["mode"], m["tick_ms"], m["every_ms"]]), [
    ["live", "all", undefined, undefined], ["slow", "latest", 100, undefined], ["pause", "all", undefined, undefined], ["thin", "all", undefined, undefined], ["rare", "sample", undefined, 60_000],
  ]);
  peer.say(topics, ...[1, 2, 3, 4, 5].map((id) => fresh(id)), batch(3, 9, 12, 12), batch(4, 9, 11, 11));
  const heard = peer.heard.length;
  world.hide(true);
  assert.equal(client.state.hidden, true);
  await world.advance(4_000);
  world.hide(false); // only a glance elsewhere
  await world.advance(6_000);
  assert.deepEqual(peer.heard.slice(heard).filter((m) => m.type !== "ping"), []);
  world.hide(true);
  await world.advance(5_000);
  const now = peer.heard.slice(heard).filter((m) => m.type !== "ping");
  assert.deepEqual(now, [
    { type: "unsub", id: 2 }, { type: "unsub", id: 3 }, { type: "unsub", id: 4 },
    { type: "sub", id: now[3]?.["id"], filter: "slow", mode: "latest", tick_ms: 5_000, since: { epoch: "E", offset: 9 } },
    { type: "sub", id: now[4]?.["id"], filter: "thin", mode: "latest", tick_ms: 30_000, since: { epoch: "E", offset: 11 } },
  ]);
  assert.deepEqual([live.sub.live, pause.sub.live, rare.sub.live], [true, false, true]);
  const id = Number(now[4]?.["id"]);
  peer.say(batch(3, 12, 13, 13), resumed(id, 11), { ...batch(id, 11, 50, 50), conflated: 20 });
  assert.deepEqual([thin.sub.proof.conflated, thin.sub.proof.complete, thin.sub.proof.resumes, pause.sub.cursor?.offset], [20, true, 0, 12]);
  world.hide(false);
  const back = peer.heard.filter((m) => m.type === "sub").slice(-3);
  assert.deepEqual(back.map((m) => [m["filter"], m["mode"], m["tick_ms"], (m["since"] as { offset: number }).offset]), [["slow", "latest", 100, 9], ["pause", "all", undefined, 12], ["thin", "all", undefined, 50]]);
  peer.say(resumed(Number(back[1]?.["id"]), 12), batch(Number(back[1]?.["id"]), 12, 60, 13, 60));
  assert.deepEqual(brief(pause.updates), ["start@9", "data@12 12", "start +@12", "data@60 13,60"]);
  assert.equal(slow.sub.live, false); // its answer has not come
  client.close();
});

test("a tab that is opened hidden begins as such", async () => {
  const world = new World();
  world.document.visibilityState = "hidden";
  const client = world.connect();
  follow(client, "#", { hidden: "pause" });
  assert.equal(client.state.hidden, true);
  await world.settle();
  world.pongs = true;
  const peer = world.peer.welcome();
  await world.advance(5_000);
  assert.equal(peer.commands("unsub").length, 1);
  world.hide(false);
  assert.equal(peer.commands("sub").length, 2);
  client.close();
});
