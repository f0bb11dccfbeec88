// The page's data: what is watched, by as few subscriptions as cover it, and how well all of it is known.

import type { Client, State } from "plumbline-client";
import { Alarms } from "./alarms.ts";
import { browserEnv, type CoreEnv } from "./env.ts";
import { Feed, type FeedHost } from "./feed.ts";
import { Formats } from "./format.ts";
import { healthOf, unheard, type Health } from "./health.ts";
import { History, type HistoryOptions } from "./history.ts";
import type { WatchOptions } from "./item.ts";
import { Latencies } from "./latency.ts";
import { Scheduler, type Drawn } from "./scheduler.ts";
import { covers, minimal } from "./topics.ts";
import { Watch, type OnChange, type WatchHost } from "./watch.ts";

export interface StoreOptions {
  /** The store uses it and never closes it. */
  readonly client: Client;
  /** null: there is none, or nothing of it is granted. */
  readonly history: HistoryOptions | null;
  /** Of numbers and times, BCP 47; left out: the browser's. */
  readonly locale?: string;
  /** Topics that one feed keeps; those that are watched by name come beside them. Default 10,000. */
  readonly maxTopics?: number;
  readonly env?: Partial<CoreEnv>;
}

/** Default of StoreOptions.maxTopics. */
export const defaultMaxTopics = 10_000;
/** How often staleness is looked at. */
const sweepMs = 1000;

export type OnHealth = (h: Health) => void;

/** Store is what a page needs one of. */
export class Store implements WatchHost, FeedHost {
  readonly client: Client;
  readonly env: CoreEnv;
  readonly formats: Formats;
  readonly history: History | null;
  readonly scheduler: Scheduler;
  readonly alarms: Alarms;
  readonly latency = new Latencies();
  readonly sensor = new Latencies();
  readonly maxTopics: number;
  readonly feeds = new Set<Feed>();
  private readonly watches = new Set<Watch>();
  private readonly pending = new Set<Watch>();
  private readonly listeners = new Set<OnHealth>();
  private readonly off: (() => void)[] = [];
  private readonly alarmsDrawn: Drawn;
  private planned = false;
  private telling = false;
  private session: State["session"] = null;
  private saw: { us: number; ms: number } | null = null;
  private sweep = 0;
  private closed = false;
  private latest: Health;
  private counted = { delivered: 0, ms: 0, perSecond: 0 };

  /** It throws a RangeError for a locale or number that is none. */
  constructor(o: StoreOptions) {
    this.client = o.client;
    this.env = { ...browserEnv(), ...o.env };
    this.formats = new Formats(o.locale);
    this.history = o.history === null ? null : new History(o.history, this.env);
    this.maxTopics = o.maxTopics ?? defaultMaxTopics;
    if (!Number.isInteger(this.maxTopics) || this.maxTopics < 1) throw new RangeError(`maxTopics is ${this.maxTopics}: want a whole number from 1 on`);
    this.scheduler = new Scheduler(this.env);
    this.alarms = new Alarms(() => this.alarmsDrawn.dirty());
    this.alarmsDrawn = this.scheduler.add(() => this.alarms.tell(), { everyMs: 100 });
    this.counted.ms = this.env.now();
    this.latest = healthOf(this, this.counted);
    this.off.push(this.client.on("state", (s) => this.onState(s)));
    this.off.push(this.client.on("refreshed", () => this.retry()));
    this.off.push(this.client.on("clock", () => this.refreshHealth()));
    this.plan();
    this.env.document?.addEventListener("visibilitychange", this.onVisible);
  }

  /** watch begins to watch a filter. Watches of one turn of the event loop are subscribed to together. */
  watch(filter: string, o: WatchOptions, onChange?: OnChange): Watch {
    const w = new Watch(this, filter, o, onChange ?? null);
    this.watches.add(w);
    this.pending.add(w);
    this.later();
    return w;
  }

  get health(): Health {
    return this.latest;
  }

  on(_name: "health", f: OnHealth): () => void {
    this.listeners.add(f);
    return () => this.listeners.delete(f);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const f of this.off) f();
    this.env.cancel(this.sweep);
    this.env.document?.removeEventListener("visibilitychange", this.onVisible);
    for (const w of [...this.watches]) w.close();
    for (const f of this.feeds) f.close();
    this.feeds.clear();
    this.scheduler.close();
  }

  // What watches, items and feeds ask for.

  /** nowUs is the bridge's time. Until the client knows it, it is that of the newest message, and this machine's before there is one. */
  nowUs(): number {
    if (this.client.clock.known || this.saw === null) return this.client.clock.now();
    return this.saw.us + (this.env.now() - this.saw.ms) * 1000;
  }

  /** sawUs takes the time of a message that has just come. Once the clock was known it is of no use: should sleep make the clock unknown
   * again, it would not count the sleep. */
  sawUs(timeUs: number): void {
    this.saw = this.client.clock.known ? null : { us: timeUs, ms: this.env.now() };
  }

  nowMs(): number {
    return this.env.now();
  }

  clockKnown(): boolean {
    return this.client.clock.known;
  }

  boundUs(): number {
    return this.client.clock.errorUs;
  }

  away(): string {
    const s = this.client.state;
    if (s.phase === "open" && s.silentSinceMs !== null) return unheard;
    if (s.phase === "open") return this.client.clock.known || this.saw !== null ? "" : "the bridge's clock is not known yet";
    return s.reason === "" ? "connecting" : s.reason;
  }

  /** forbidden asks for each narrower filter by itself; what has values already goes on with them. */
  forbidden(f: Feed): void {
    for (const w of this.watches) {
      if (w.filter === f.filter || !f.members.has(w)) continue;
      f.leave(w);
      this.pending.add(w);
    }
    if (this.pending.size > 0) this.later();
  }

  /** proved tells of it once in a turn of the event loop. */
  proved(): void {
    if (this.telling || this.closed) return;
    this.telling = true;
    queueMicrotask(() => {
      this.telling = false;
      if (!this.closed) this.refreshHealth();
    });
  }

  left(w: Watch): void {
    this.watches.delete(w);
    this.pending.delete(w);
    for (const f of this.feeds) f.leave(w);
    this.later();
  }

  private later(): void {
    if (this.planned || this.closed) return;
    this.planned = true;
    queueMicrotask(() => {
      this.planned = false;
      if (!this.closed) this.settle();
    });
  }

  /** settle gives each new watch a feed that covers it, makes those that are missing, and ends those that nobody needs. */
  private settle(): void {
    const without = [...this.pending].filter((w) => !this.join(w));
    this.pending.clear();
    for (const filter of minimal(without.map((w) => w.filter))) this.feeds.add(new Feed(this, filter));
    for (const w of without) this.join(w);
    for (const f of [...this.feeds]) {
      if (f.members.size > 0) f.settle();
      else {
        f.close();
        this.feeds.delete(f);
      }
    }
    this.refreshHealth();
  }

  private join(w: Watch): boolean {
    for (const f of this.feeds) {
      if (f.refused && f.filter !== w.filter) continue; // a narrower filter may be granted
      if (!covers(f.filter, w.filter)) continue;
      f.join(w);
      w.joined(f);
      return true;
    }
    return false;
  }

  private onState(s: State): void {
    if (s.phase === "open" && s.session !== this.session) {
      this.session = s.session;
      this.retry();
    }
    for (const w of this.watches) w.feedChanged(); // all at once: nothing is live any more, or may be again
    this.refreshHealth();
  }

  /** retry asks again for what was refused, once for each token: another one may grant it. */
  private retry(): void {
    for (const f of this.feeds) f.retry();
  }

  private readonly onVisible = (): void => {
    if (!this.scheduler.hidden) this.look();
  };

  /** plan sets the next look at what went stale. A hidden page is not looked at. */
  private plan(): void {
    this.sweep = this.env.after(sweepMs, () => {
      if (!this.scheduler.hidden) this.look();
      if (!this.closed) this.plan();
    });
  }

  private look(): void {
    const nowUs = this.nowUs();
    for (const w of this.watches) w.tick(nowUs);
    this.alarms.sweep(this.env.now(), nowUs);
    this.refreshHealth();
  }

  private refreshHealth(): void {
    const nowMs = this.env.now();
    const delivered = [...this.feeds].reduce((sum, f) => sum + f.totals.delivered, 0);
    if (nowMs - this.counted.ms >= sweepMs * 0.9) {
      this.counted = { delivered, ms: nowMs, perSecond: Math.max(0, delivered - this.counted.delivered) / ((nowMs - this.counted.ms) / 1000) };
    }
    this.latest = healthOf(this, this.counted);
    for (const f of this.listeners) f(this.latest);
  }
}

/** createStore makes the page's store. */
export function createStore(o: StoreOptions): Store {
  return new Store(o);
}
