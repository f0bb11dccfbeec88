import assert from "node:assert/strict";
import { test } from "node:test";
import type { State } from "plumbline-client";
import { Script, soon } from "./testkit.ts";

test("health: complete is what is proved, of every filter", async () => {
  const s = new Script(100);
  const said = async (): Promise<[boolean, string]> => {
    await soon();
    return [s.store.health.complete, s.store.health.completeness.replace(/\d\d:\d\d:\d\d/g, "TIME")];
  };
  assert.deepEqual(await said(), [false, "nothing is proved yet"], "nothing is asked for");
  const one = s.store.watch("a", {});
  const two = s.store.watch("b", {});
  assert.deepEqual(await said(), [false, "nothing is proved yet"], "nothing is answered");
  s.start("a");
  assert.deepEqual(await said(), [false, "complete since TIME: 0 readings; 1 of 2 filters not answered yet"]);
  s.start("b");
  assert.deepEqual(await said(), [true, "complete since TIME: 0 readings"]);
  s.refuse("b", "filter");
  assert.deepEqual(await said(), [false, "complete since TIME: 0 readings; the bridge refuses 1 of 2 filters"]);
  assert.equal(s.store.health.refused, 1);
  two.close();
  assert.deepEqual(await said(), [true, "complete since TIME: 0 readings"]);
  s.gap(3);
  assert.deepEqual(await said(), [false, "1 declared gap, 3 journal entries missing; complete again since TIME: 0 readings"]);
  s.refuse("a", "filter");
  assert.deepEqual(await said(), [false, "nothing is proved yet; the bridge refuses the filter"]);
  one.close();
  s.store.close();
});

test("a filter that is empty is refused at once, with how to mend it", () => {
  const s = new Script(100);
  assert.throws(() => s.store.watch("", {}), (err: unknown) => err instanceof RangeError && /# takes every topic/.test(err.message));
  s.store.close();
});

test("what was refused is asked for again from where it ended", async () => {
  const s = new Script(100);
  const w = s.store.watch("a", {});
  await soon();
  s.start();
  s.batch(["a"], () => "1");
  s.refuse("a", "forbidden");
  assert.deepEqual([...s.subs].map((sub) => [sub.options.snapshot, w.note]), [[false, ""]], "the state may be refused and the present granted");
  s.refuse("a", "forbidden");
  assert.notEqual(w.note, "");
  for (const f of s.store.feeds) f.retry();
  assert.deepEqual([...s.subs].map((sub) => [sub.filter, sub.options.since, sub.options.snapshot]), [["a", { epoch: "e", offset: 1 }, true]], "other grants may be of the state as well");
  s.resume();
  assert.equal(w.note, "");
  s.store.close();
});

test("a clock that sleep made unknown again leaves nothing live by the time of an old message", async () => {
  const s = new Script(100);
  s.clock.known = false;
  const w = s.store.watch("a", { staleAfterS: 60 });
  await soon();
  s.start();
  s.batch(["a"], () => "1");
  const item = w.items.get("a");
  assert.equal(item?.quality().quality, "live", "until the clock is known, the newest message tells the time");
  s.clock.known = true;
  s.batch(["a"], () => "2");
  s.clock.known = false; // the monotonic clock stood while the machine slept
  assert.deepEqual([item?.quality().quality, item?.quality().why], ["stale", "the bridge's clock is not known yet"]);
  s.store.close();
});

test("grants that are narrowed while the page is watched leave the narrower tiles theirs, with their values, judges and charts", async () => {
  const s = new Script(100);
  const wide = s.store.watch("#", {});
  const narrow = s.store.watch("a/+", { every: "message", limits: { alarmHigh: 80 } });
  await soon();
  s.start();
  s.batch(["a/1", "b/1"], () => "90");
  const item = narrow.items.get("a/1");
  const view = item?.track(10).view(() => undefined);
  view?.follow(60e6, 60);
  s.refuse("#", "forbidden");
  s.refuse("#", "forbidden"); // without the state, either
  await soon();
  assert.deepEqual([...s.subs].map((sub) => sub.filter), ["a/+"]);
  assert.equal(item?.quality().quality, "stale");
  s.start();
  s.env.advance(1000);
  s.batch(["a/1"], () => "91");
  assert.deepEqual([narrow.items.get("a/1") === item, item?.number, item?.quality().quality, narrow.note, wide.note === ""], [true, 91, "live", "", false]);
  assert.deepEqual(s.store.alarms.active.map((a) => [a.text, a.worst]), [["91, above 80", "91, above 80"]], "one alarm, that goes on");
  let drawn = 0;
  view?.band.each(-Infinity, Infinity, (b) => (drawn += b.count));
  assert.equal(drawn, 2);
  s.store.close();
});

test("what was refused is asked for again once in each session and with each token, and not whenever the page is hidden or shown", async () => {
  const s = new Script(100);
  s.store.watch("a", {});
  await soon();
  const asked = (): number => {
    const n = s.subs.size;
    for (let i = 0; i < 2; i++) s.refuse("a", "forbidden"); // with the state, and without
    return n;
  };
  assert.equal(asked(), 1);
  s.emit("state", s.state);
  assert.equal(asked(), 1, "a session");
  s.emit("state", { ...s.state, hidden: true });
  s.emit("state", { ...s.state, draining: true });
  assert.equal(asked(), 0, "the same session");
  s.emit("refreshed", { expires: "" });
  assert.equal(asked(), 1, "another token");
  s.emit("state", { ...s.state, session: { ...s.state.session } as State["session"] });
  assert.equal(asked(), 1, "another session");
  s.store.close();
});
