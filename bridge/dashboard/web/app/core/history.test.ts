import assert from "node:assert/strict";
import { test } from "node:test";
import { browserEnv } from "./env.ts";
import { History, HistoryError, parseAggregate } from "./history.ts";

const answer = (o: Record<string, unknown> = {}): Record<string, unknown> => ({
  cursor: { epoch: "e", offset: 7 }, topic: "t", field: "value", unit: "", gaps: [], from: 0, to: 60e6, step_ms: 1000, resolution_ms: 1000,
  buckets: [{ t: 1e6, count: 2, min: 1, max: 3, sum: 4, last: 3 }], ...o,
});

test("history: an answer is checked before it is believed", () => {
  const a = parseAggregate(answer({ kept_from: 5, gaps: [{ epoch: "e", from: 1, to: 2, count: 1, reason: "evicted", begin: 10, end: 20 }] }), 1e6);
  assert.deepEqual([a.epoch, a.offset, a.keptFromUs, a.rows.length, a.gaps[0]?.toUs], ["e", 7, 5, 1, 20]);
  assert.equal(parseAggregate(answer({ buckets: [{ t: 1, count: 1, min: null, max: null, sum: null, last: null }, "x", null] }), 1e6).rows.length, 0);
  for (const bad of [null, 1, "x", [], {}, answer({ cursor: {} }), answer({ buckets: 1 }), answer({ gaps: null })]) assert.throws(() => parseAggregate(bad, 1e6), HistoryError);
});

/** A History whose network is f. */
function over(f: (url: URL, n: number) => Response | Promise<Response>): { h: History; urls: URL[]; most: () => number } {
  const urls: URL[] = [];
  let busy = 0;
  let most = 0;
  const env = {
    ...browserEnv(),
    after: (_ms: number, g: () => void) => Number(setTimeout(g, 0)), // waits cost nothing here
    fetch: async (url: string): Promise<Response> => {
      const u = new URL(url, "http://bridge");
      urls.push(u);
      most = Math.max(most, ++busy);
      try {
        await Promise.resolve();
        return await f(u, urls.length);
      } finally {
        busy--;
      }
    },
  };
  // The time-out of a request must not be shortened as well.
  env.after = (ms, g) => Number(setTimeout(g, ms >= 15_000 ? ms : 0));
  return { h: new History({ base: "/api/v1/history" }, env), urls, most: () => most };
}

const question = { topic: "a/b", field: "value", fromUs: 10_500, toUs: 60e6, stepUs: 1e6 };
const json = (v: unknown, status = 200, headers: Record<string, string> = {}): Response => new Response(JSON.stringify(v), { status, headers });

test("history: asks for whole milliseconds, two at a time", async () => {
  const { h, urls, most } = over(() => json(answer()));
  await Promise.all(Array.from({ length: 10 }, () => h.load(question, new AbortController().signal)));
  assert.equal(most(), 2);
  assert.equal(urls[0]?.searchParams.get("from"), "10");
  assert.equal(urls[0]?.searchParams.get("step"), "1000ms");
  assert.equal(urls[0]?.searchParams.get("topic"), "a/b");
});

test("history: a busy bridge is asked again, a refusal is not", async () => {
  const { h, urls } = over((_u, n) => (n < 3 ? json({ detail: "busy" }, 429, { "Retry-After": "1" }) : json(answer())));
  assert.equal((await h.load(question, new AbortController().signal)).length, 1);
  assert.equal(urls.length, 3);
  const no = over(() => json({ detail: "the grants do not cover this filter", parameter: "topic" }, 403));
  await assert.rejects(no.h.load(question, new AbortController().signal), (err: unknown) => err instanceof HistoryError && err.status === 403 && err.parameter === "topic" && /the grants do not cover/.test(err.message));
  assert.equal(no.urls.length, 1);
  const gone = over(() => Promise.reject(new TypeError("fetch failed")));
  await assert.rejects(gone.h.load(question, new AbortController().signal), /the bridge cannot be reached: fetch failed/);
});

test("history: before the time that is kept, coarser statistics answer, and no time is answered twice", async () => {
  const { h, urls } = over((u) => {
    const step = Number(u.searchParams.get("step")?.replace("ms", ""));
    const kept = { 1000: 7200.5e6, 60000: 3600e6 }[step];
    return json(answer({ from: Math.floor(Number(u.searchParams.get("from")) / step) * step * 1000, to: Number(u.searchParams.get("to")) * 1000, step_ms: step, buckets: [{ t: 7200e6, count: 1, min: 1, max: 1, sum: 1, last: 1 }, { t: 7260e6, count: 1, min: 1, max: 1, sum: 1, last: 1 }], ...(kept === undefined ? {} : { kept_from: kept }) }));
  });
  const got = await h.load({ ...question, fromUs: 0, toUs: 10_000e6 }, new AbortController().signal);
  assert.deepEqual(urls.map((u) => [u.searchParams.get("step"), u.searchParams.get("to")]), [["1000ms", "10000000"], ["60000ms", "7260000"], ["3600000ms", "3600000"]]);
  assert.deepEqual(got.map((a) => [a.stepUs, a.fromUs, a.toUs]), [[1e6, 7260e6, 10_000e6], [60e6, 3600e6, 7260e6], [3600e6, 0, 3600e6]]);
  assert.deepEqual(got.map((a) => a.rows.map((r) => r.t)), [[7260e6], [7200e6, 7260e6], [7200e6, 7260e6]]);
});

test("history: who moves on is not answered, and leaves the queue", async () => {
  const { h, urls } = over(() => new Promise((resolve) => setTimeout(() => resolve(json(answer())), 5)));
  const stop = new AbortController();
  const all = Array.from({ length: 6 }, () => h.load(question, stop.signal));
  stop.abort();
  for (const one of await Promise.allSettled(all)) assert.equal(one.status, "rejected");
  assert.ok(urls.length <= 2, `${urls.length} requests were made`);
  assert.equal((await h.load(question, new AbortController().signal)).length, 1, "the slots are free again");
});

test("history: an answer whose body stalls is given up in time, or at once when the view moves on, and its slot is free again", async () => {
  let stalls = true;
  const limits = new Map<number, () => void>();
  let id = 0;
  const env = {
    ...browserEnv(),
    after: (ms: number, f: () => void): number => {
      if (ms < 15_000) return Number(setTimeout(f, 0));
      limits.set(--id, f);
      return id;
    },
    cancel: (id: number): void => void limits.delete(id),
    fetch: (_url: string, init: RequestInit): Promise<Response> => {
      if (!stalls) return Promise.resolve(json(answer()));
      const body = new ReadableStream({
        start: (c) => {
          c.enqueue(new TextEncoder().encode("{"));
          init.signal?.addEventListener("abort", () => c.error(new DOMException("aborted", "AbortError")));
        },
      });
      return Promise.resolve(new Response(body, { status: 200 }));
    },
  };
  const h = new History({ base: "/api/v1/history" }, env);
  const moved = new AbortController();
  const left = h.load(question, moved.signal);
  const stalled = h.load(question, new AbortController().signal);
  const waits = h.load(question, new AbortController().signal);
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve)); // both heads are there, no body is
  assert.equal(limits.size, 2, "the time of both runs until their bodies are read");
  stalls = false;
  moved.abort();
  await assert.rejects(left, { name: "AbortError" });
  assert.equal((await waits).length, 1, "the slot of who moved on is free");
  for (const f of [...limits.values()]) f();
  assert.equal((await stalled).length, 1, "it is asked again");
});

test("history: a credential that never comes is given up in time, and its slot is free again", async () => {
  const limits: (() => void)[] = [];
  let asked = 0;
  const env = {
    ...browserEnv(),
    after: (ms: number, f: () => void): number => (ms < 15_000 ? Number(setTimeout(f, 0)) : limits.push(f)),
    cancel: (): void => undefined,
    fetch: (): Promise<Response> => Promise.resolve(json(answer())),
  };
  const h = new History({ base: "/api/v1/history", headers: () => (++asked <= 2 ? new Promise<HeadersInit>(() => undefined) : {}) }, env);
  const all = [1, 2, 3].map(() => h.load(question, new AbortController().signal));
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(limits.length, 2);
  for (const f of limits.splice(0)) f();
  for (const one of await Promise.all(all)) assert.equal(one.length, 1);
});
