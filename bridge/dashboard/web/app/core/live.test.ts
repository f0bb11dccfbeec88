// The store on a real bridge: what it shows is what the bridge's history says in the end, entry for entry.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Bridged, client, Publisher, skip, surroundings, until } from "../../client/test/bridged.ts";
import type { Client } from "plumbline-client";
import type { Item } from "./item.ts";
import { createStore, type Store } from "./store.ts";
import { rng, seeds } from "./testkit.ts";
import type { View } from "./view.ts";
import type { Watch } from "./watch.ts";

const s = 1e6;

describe("a store on a real bridge", { skip }, () => {
  let bridge: Bridged;
  let publisher: Publisher;
  let token: string;
  const made: { client: Client; store: Store }[] = [];

  before(async () => {
    bridge = await Bridged.start("history.flush=50ms");
    publisher = new Publisher(() => bridge.mqtt);
    token = await bridge.token();
  });
  after(async () => {
    for (const m of made) {
      m.store.close();
      m.client.close();
    }
    publisher.close();
    await bridge.close();
  });

  function open(o: { maxTopics?: number; hoursWrong?: number; token?: string } = {}): Store {
    const wrongMs = (o.hoursWrong ?? 0) * 3600e3;
    const env = { ...surroundings(), timeOrigin: performance.timeOrigin + wrongMs, wall: () => Date.now() + wrongMs };
    const c = client(bridge.viewers, { token: () => o.token ?? token, env });
    const history = { base: `http://${bridge.viewers}/api/v1/history`, headers: () => ({ Authorization: `Bearer ${token}` }) };
    const store = createStore({ client: c, history, locale: "en-GB", ...(o.maxTopics === undefined ? {} : { maxTopics: o.maxTopics }) });
    made.push({ client: c, store });
    return store;
  }

  const itemOf = async (w: Watch, topic: string): Promise<Item> => {
    await until(`a value of ${topic}`, () => w.items.has(topic));
    return w.items.get(topic) as Item;
  };

  /** points are all that history has of a topic. */
  async function points(topic: string): Promise<{ t: number; v: number }[]> {
    const all: { t: number; v: number }[] = [];
    for (let page = ""; ; ) {
      const q = new URLSearchParams({ topic, from: "0", to: String(Date.now() + 3600e3), limit: "10000", ...(page === "" ? {} : { page }) });
      const r = await fetch(`http://${bridge.viewers}/api/v1/history/range?${q}`, { headers: { Authorization: `Bearer ${token}` } });
      assert.equal(r.status, 200, await r.clone().text());
      const a = (await r.json()) as { points: { t: number; v: number }[]; next?: string };
      all.push(...a.points);
      if (a.next === undefined) return all;
      page = a.next;
    }
  }

  function assertSame(view: View, all: readonly { t: number; v: number }[], what: string): void {
    const { band } = view;
    const truth = new Map<number, number[]>();
    for (const p of all) {
      const index = Math.floor(p.t / band.stepUs);
      truth.set(index, [...(truth.get(index) ?? []), p.v]);
    }
    const want = [...truth].map(([index, v]) => [index, v.length, Math.min(...v), Math.max(...v), v.reduce((a, b) => a + b, 0)]);
    const shown: number[][] = [];
    band.each(-Infinity, Infinity, (b) => shown.push([b.index, b.count, b.min, b.max, b.sum]));
    assert.deepEqual(shown, want, what);
  }

  test("history and live are one series, over a kill of the bridge, whenever a view is opened", async () => {
    const [seed = 0] = seeds(1);
    const r = rng(seed);
    const topic = "join/a";
    let n = 0;
    const publish = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await publisher.publish(topic, String(n++));
    };
    await publish(50);
    const store = open();
    const item = await itemOf(store.watch("join/+", { every: "message" }), topic);
    const series = item.track(40); // so that much leaves the ring
    const views: View[] = [];
    for (let round = 0; round < 6; round++) {
      const sending = publish(30 + r.int(60));
      const view = series.view(() => undefined);
      views.push(view);
      if (r.int(2) === 0) view.follow(3600 * s, 300 + r.int(900));
      else view.fix(store.nowUs() - 3600 * s, store.nowUs() + 3600 * s, 300 + r.int(900));
      await sending;
      if (round !== 3) continue;
      await bridge.end("SIGKILL");
      await until("the page to know", () => !store.health.live);
      assert.deepEqual([item.quality().quality, item.quality().why === ""], ["stale", false], "and it says why");
      await bridge.start();
    }
    await until("the last value", () => item.number === n - 1);
    for (const [i, view] of views.entries()) await until(`view ${i} to join (seed ${seed}): ${view.note}`, () => view.joined === "joined");
    await until("history to have all", async () => (await points(topic)).length === n);
    const all = await points(topic);
    for (const [i, view] of views.entries()) assertSame(view, all, `seed ${seed}: view ${i}`);
    await until("the proof", () => store.health.complete);
    assert.match(store.health.completeness, /^complete since .*: [\d,]+ readings$/);
  });

  test("a screen whose clock is hours wrong shows the bridge's time, and says so", async () => {
    const store = open({ hoursWrong: -3 });
    const w = store.watch("clock/a", { every: "message", staleAfterS: 600 });
    await until("clock and subscription", () => store.clockKnown() && [...store.feeds].every((f) => f.live));
    await publisher.publish("clock/a", "1");
    const item = await itemOf(w, "clock/a");
    const earliestUs = Date.now() * 1000;
    const nowUs = store.nowUs();
    const latestUs = Date.now() * 1000;
    const slack = store.boundUs() + 50_000;
    assert.ok(nowUs > earliestUs - slack && nowUs < latestUs + slack, `${nowUs}, between ${earliestUs} and ${latestUs}`);
    assert.equal(item.quality().quality, "live");
    assert.match(store.health.clock.note, /^this screen's clock is (3 h|2 h 59 min) behind; times here are the bridge's$/);
    await until("a latency", async () => { // of what was surely sent after the subscription stood, as well as the clocks agree
      await publisher.publish("clock/a", "2");
      return store.health.latency.count > 0;
    });
    assert.ok(store.health.latency.maxUs < 60 * s, `${store.health.latency.maxUs} µs`);
  });

  test("few subscriptions cover many tiles; a mode that is not enough is replaced without a loss", async () => {
    const store = open();
    const tiles = Array.from({ length: 50 }, (_, i) => store.watch(`many/${i}/t`, {}));
    store.watch("many/+/t", {});
    await until("the subscription", () => store.health.feeds === 1 && [...store.feeds].every((f) => f.live));
    for (let i = 0; i < 50; i++) await publisher.publish(`many/${i}/t`, String(i));
    await until("all values", () => tiles.every((w, i) => w.items.get(`many/${i}/t`)?.number === i));
    const counted = store.watch("many/7/t", { every: "message", sparkS: 600 });
    const [feed] = store.feeds;
    await until("the other mode", () => feed?.mode === "all" && feed.live);
    for (let i = 1; i <= 20; i++) await publisher.publish("many/7/t", String(i * 100));
    const item = await itemOf(counted, "many/7/t");
    await until("the last of 20", () => item.number === 2000);
    const spark = (): number[] => [item.spark(600, 1).min[0] ?? NaN, item.spark(600, 1).max[0] ?? NaN];
    await until("a spark of history and live", () => spark()[0] === 7 && spark()[1] === 2000);
    await until("the proof of one feed", () => store.health.feeds === 1 && store.health.complete);
  });

  test("more topics than are kept are counted, and those asked for by name are there", async () => {
    const store = open({ maxTopics: 10 });
    const all = store.watch("crowd/#", {});
    const one = store.watch("crowd/24", {});
    await until("the subscription", () => [...store.feeds].some((f) => f.live));
    for (let i = 0; i < 25; i++) await publisher.publish(`crowd/${i}`, "1");
    await until("the note", () => all.note === "11 of 25 topics shown");
    assert.equal((await itemOf(one, "crowd/24")).number, 1);
  });

  test("a tile wider than the grants leaves the others theirs", async () => {
    const grants = { live: ["granted/#"], snapshot: ["granted/#"], history: [], publish: [] };
    const store = open({ token: await bridge.token(3600, grants) });
    const wide = store.watch("#", {});
    const one = store.watch("granted/1/t", {});
    const two = store.watch("granted/+/u", {});
    const other = store.watch("other/1", {});
    await publisher.publish("granted/1/t", "1", true);
    await publisher.publish("granted/2/u", "2", true);
    assert.equal((await itemOf(one, "granted/1/t")).number, 1);
    assert.equal((await itemOf(two, "granted/2/u")).number, 2);
    await until("both refusals", () => wide.note !== "" && other.note !== "");
    assert.deepEqual([one.note, two.note], ["", ""]);
  });

  test("payloads of every kind are shown and judged, and none is taken for another", async () => {
    const store = open();
    const w = store.watch("odd/+", { limits: { alarmHigh: 10 }, title: "Odd" });
    await until("the subscription", () => [...store.feeds].some((f) => f.live));
    const payloads: [string, string | Uint8Array, string, string][] = [
      ["number", "12.50", "12.50", "alarm"], ["nan", "NaN", "NaN", "off"], ["huge", "1e999", "1e999", "off"], ["text", "<b>hot</b>", "<b>hot</b>", "off"],
      ["binary", Uint8Array.of(0, 255), "2 bytes, binary", "off"], ["nested", `{"a":[{"b":1}],"c":"x"}`, `{"a":[{"b":1}],"c":"x"}`, "off"], ["bool", "true", "on", "ok"],
    ];
    for (const [name, payload] of payloads) await publisher.publish(`odd/${name}`, payload);
    for (const [name, , text, level] of payloads) {
      const item = await itemOf(w, `odd/${name}`);
      assert.deepEqual([item.text, item.level], [text, level], name);
    }
    assert.deepEqual(store.alarms.active.map((a) => [a.topic, a.title, a.text, a.standing]), [["odd/number", "Odd: number", "12.50, above 10", true]]);
    await publisher.publish("odd/number", "3");
    await until("the end of the alarm", () => store.alarms.active.length === 0);
    w.close();
    await until("no subscription", () => store.health.feeds === 0);
  });
});
