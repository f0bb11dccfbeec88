// One subscription, its topics, and the chain that proves what it holds.

import type { Client, Cursor, Proof, Reading, Subscription, SubscribeOptions, Update } from "plumbline-client";
import { Latencies } from "./latency.ts";
import { Payload } from "./payload.ts";
import { Rhythm } from "./rhythm.ts";
import { Counter, matches } from "./topics.ts";
import type { Mark } from "./types.ts";

/** What takes a topic's messages. */
export interface Sink {
  take(topic: Topic, live: boolean): void;
}

/** Topic is one topic's last message, of one feed. */
export class Topic {
  readonly name: string;
  readonly feed: Feed;
  readonly rhythm = new Rhythm();
  readonly sinks: Sink[] = [];
  payload: Payload | null = null;
  timeUs = NaN;
  offset = -1;
  chain = 0;
  retained = false;
  count = 0; // messages; a snapshot's value is none
  held = false; // all there is came with a snapshot

  constructor(name: string, feed: Feed) {
    this.name = name;
    this.feed = feed;
  }

  /** take replaces the last message; live: it is news, not state. */
  take(r: Reading, live: boolean, chain: number): void {
    this.payload = new Payload(r);
    this.timeUs = r.time;
    this.offset = r.offset;
    this.chain = chain;
    this.retained = r.retain;
    this.held = !live && this.count === 0;
    if (live) this.count++;
    this.rhythm.heard(r.time);
    for (const s of this.sinks) s.take(this, live);
    this.payload.seal();
  }
}

/** Who takes part in a feed: the watches of filters that it covers. */
export interface Member {
  readonly filter: string;
  readonly exact: boolean;
  /** Every message is needed, not just the newest now and then. */
  readonly needsAll: boolean;
  attach(topic: Topic): void;
  /** The feed's note, marks or reach have changed. */
  feedChanged(): void;
  /** The chain has a hole, or a new one has begun: what is not here should be asked of history. */
  rejoin(): void;
  /** The chain goes on as it was, after a while without a connection. */
  resumed(): void;
}

/** Where feeds get what is common to all. */
export interface FeedHost {
  readonly client: Client;
  readonly maxTopics: number;
  nowUs(): number;
  nowMs(): number;
  clockKnown(): boolean;
  /** A message of this time has just come. */
  sawUs(timeUs: number): void;
  /** What the feed can prove has changed. */
  proved(): void;
  /** The grants do not cover a feed's filter; those of its members may be narrower. */
  forbidden(f: Feed): void;
  readonly latency: Latencies;
}

/** Marks that are kept; older ones go first. */
const marksMost = 200;
/** Names that are counted beyond those that are kept. */
const countMost = 100_000;
/** The tick of feeds of which nobody needs every message. */
export const tickMs = 200;
/** Conflation marks closer than this are one. */
const joinUs = 2_000_000;

const none: Totals = { delivered: 0, conflated: 0, gaps: 0, missing: 0, unknown: false, resumes: 0, broken: 0 };

/** What a feed counted, over all its subscriptions. */
export interface Totals {
  readonly delivered: number;
  readonly conflated: number;
  readonly gaps: number;
  readonly missing: number;
  readonly unknown: boolean;
  readonly resumes: number;
  readonly broken: number;
}

/** Feed is one subscription at the bridge. */
export class Feed {
  readonly filter: string;
  readonly topics = new Map<string, Topic>();
  readonly members = new Set<Member>();
  readonly marks: Mark[] = [];
  readonly latency = new Latencies();
  /** Journals in the order in which they were seen; a point knows its own by the index. */
  readonly epochs: string[] = [];
  /** Everything behind this offset of the last journal is here, or marked. −1: not known yet. */
  chainFrom = -1;
  /** "" or why there is nothing. */
  note = "";
  refused = false;
  private readonly host: FeedHost;
  private readonly beyond = new Counter(countMost);
  private readonly named = new Set<string>(); // topics that members asked for by name: always kept
  private sub: Subscription | null = null;
  private past: Totals = none;
  private all = false;
  private snapshot = true;
  private provenUs = NaN;
  private openMark: { -readonly [K in keyof Mark]: Mark[K] } | null = null;
  private startedMs = Infinity;
  private reached: Cursor | null = null; // by a subscription that was ended

  constructor(host: FeedHost, filter: string) {
    this.host = host;
    this.filter = filter;
  }

  /** join adds a member, and shows it what is there. */
  join(m: Member): void {
    this.members.add(m);
    if (m.exact) this.named.add(m.filter);
    for (const t of this.topics.values()) if (m.filter === this.filter || matches(m.filter, t.name)) m.attach(t);
  }

  leave(m: Member): void {
    this.members.delete(m);
    if (m.exact && ![...this.members].some((other) => other.filter === m.filter)) this.named.delete(m.filter);
  }

  /** settle subscribes, or anew behind the cursor, when members need another mode. */
  settle(): void {
    const all = [...this.members].some((m) => m.needsAll);
    if (this.sub !== null && this.all === all) return;
    if (this.sub === null && this.refused) return;
    this.all = all;
    this.subscribe(this.sub?.cursor ?? null);
  }

  private subscribe(since: SubscribeOptions["since"] | null): void {
    const old = this.sub;
    if (old !== null) {
      this.past = add(this.past, old.proof);
      this.sub = null;
      old.close();
    }
    const o: SubscribeOptions = { ...(this.all ? { mode: "all" as const } : { mode: "latest" as const, tickMs }), snapshot: this.snapshot };
    if (since !== null && since !== undefined) o.since = since;
    let made: Subscription | null = null;
    try {
      made = this.host.client.subscribe(this.filter, o, (u) => {
        if (made === null || made === this.sub) this.take(u);
      });
    } catch (err) { // one feed's fault is none of the others'
      this.refuse(err instanceof Error ? err.message : String(err));
    }
    this.sub = made;
  }

  close(): void {
    const sub = this.sub;
    this.sub = null;
    sub?.close();
    this.topics.clear();
  }

  /** live says that the present session carries the feed. */
  get live(): boolean {
    return this.sub?.live === true;
  }

  /** mode is what the bridge is asked for. */
  get mode(): "all" | "latest" {
    return this.all ? "all" : "latest";
  }

  get proof(): Proof | null {
    return this.sub?.proof ?? null;
  }

  get totals(): Totals {
    return this.sub === null ? this.past : add(this.past, this.sub.proof);
  }

  /** seen is how many topics came, kept or not. */
  get seen(): number {
    return this.topics.size + this.beyond.count;
  }

  get seenIsMore(): boolean {
    return this.beyond.isMore;
  }

  private take(u: Update): void {
    switch (u.kind) {
      case "start":
        this.startedMs = this.host.nowMs();
        this.refused = false;
        this.note = "";
        if (!u.recovered || this.chainFrom < 0) this.begin(u.cursor);
        else for (const m of this.members) m.resumed();
        this.host.proved();
        return this.changed();
      case "snapshot":
        for (const r of u.readings) this.topic(r.topic)?.take(r, false, this.chain);
        if (u.cursor !== null) this.begin(u.cursor);
        return;
      case "data":
        return this.data(u);
      case "gap":
        return this.gap(u.from.epoch === u.to.epoch ? u.count : null, u.reason, u.to);
      case "end":
        return this.end(u.error.reason, u.error.message);
    }
  }

  private get chain(): number {
    return Math.max(0, this.epochs.length - 1);
  }

  /** begin starts a new chain: what came before this cursor is held only as far as it came. */
  private begin(cursor: { epoch: string; offset: number } | null): void {
    if (cursor === null) {
      this.chainFrom = -1;
      return;
    }
    if (this.epochs[this.epochs.length - 1] !== cursor.epoch) this.epochs.push(cursor.epoch);
    this.chainFrom = cursor.offset;
    for (const m of this.members) m.rejoin();
  }

  private data(u: Extract<Update, { kind: "data" }>): void {
    if (this.chainFrom < 0 || this.epochs[this.epochs.length - 1] !== u.cursor.epoch) this.begin({ epoch: u.cursor.epoch, offset: u.from });
    const nowUs = this.host.nowUs();
    const nowMs = this.host.nowMs();
    const chain = this.chain;
    const startedUs = nowUs - (nowMs - this.startedMs) * 1000;
    const timed = this.host.clockKnown();
    const first = u.readings[0];
    if (first !== undefined && this.openMark !== null) this.closeMark(first.time);
    const last = u.readings[u.readings.length - 1];
    if (last !== undefined) this.host.sawUs(last.time);
    for (const r of u.readings) {
      // What waited while nobody was connected says nothing about how fast the way is.
      if (timed && r.time >= startedUs) {
        this.latency.add(nowUs - r.time, nowMs);
        this.host.latency.add(nowUs - r.time, nowMs);
      }
      this.topic(r.topic)?.take(r, true, chain);
    }
    if (u.conflated > 0) this.conflated(u.conflated, nowUs, u.cursor);
    this.provenUs = nowUs;
  }

  /** topic finds or begins a topic; null when there are too many, and nobody asked for this one by name. */
  private topic(name: string): Topic | null {
    const known = this.topics.get(name);
    if (known !== undefined) return known;
    if (this.topics.size >= this.host.maxTopics && !this.named.has(name)) {
      const before = this.beyond.count;
      this.beyond.add(name);
      if (this.beyond.count !== before) this.changed();
      return null;
    }
    const made = new Topic(name, this);
    this.topics.set(name, made);
    for (const m of this.members) if (m.filter === this.filter || matches(m.filter, name)) m.attach(made);
    return made;
  }

  private conflated(count: number, nowUs: number, upTo: Cursor): void {
    const last = this.marks[this.marks.length - 1];
    const fromUs = this.provenUs === this.provenUs ? this.provenUs : nowUs;
    if (last !== undefined && last.kind === "conflated" && fromUs - last.toUs < joinUs) {
      this.marks[this.marks.length - 1] = { ...last, toUs: nowUs, count: (last.count ?? 0) + count, upTo };
      return;
    }
    this.mark({ kind: "conflated", fromUs, toUs: nowUs, count, reason: "the newest of each topic, as asked", upTo });
  }

  private gap(count: number | null, reason: string, upTo: Cursor): void {
    const nowUs = this.host.nowUs();
    this.chainFrom = -1;
    const mark = { kind: "gap" as const, fromUs: this.provenUs === this.provenUs ? this.provenUs : nowUs, toUs: nowUs, count, reason, upTo };
    this.openMark = mark;
    this.mark(mark);
    for (const m of this.members) m.rejoin();
    this.host.proved();
    this.changed();
  }

  /** closeMark lets a gap end where the next reading begins. */
  private closeMark(timeUs: number): void {
    const m = this.openMark;
    this.openMark = null;
    if (m !== null) m.toUs = Math.max(m.fromUs, Math.min(m.toUs, timeUs));
  }

  private mark(m: Mark): void {
    this.marks.push(m);
    if (this.marks.length > marksMost) this.marks.shift();
  }

  private end(reason: string, message: string): void {
    if (this.sub !== null) {
      this.past = add(this.past, this.sub.proof);
      this.reached = this.sub.cursor;
    }
    this.sub = null;
    if (reason === "forbidden" && this.snapshot) {
      this.snapshot = false; // the token may grant the present and not the state: values then come as they are sent
      return this.subscribe(this.reached);
    }
    this.refuse(message);
    if (reason === "forbidden") this.host.forbidden(this);
  }

  private refuse(message: string): void {
    this.refused = true;
    this.note = message;
    this.host.proved();
    this.changed();
  }

  /** retry asks again for what was refused, from where it ended: a new session may have other grants. */
  retry(): void {
    if (!this.refused) return;
    this.refused = false;
    this.snapshot = true;
    this.subscribe(this.reached);
  }

  private changed(): void {
    for (const m of this.members) m.feedChanged();
  }
}

function add(a: Totals, b: Totals): Totals {
  return {
    delivered: a.delivered + b.delivered,
    conflated: a.conflated + b.conflated,
    gaps: a.gaps + b.gaps,
    missing: a.missing + b.missing,
    unknown: a.unknown || b.unknown,
    resumes: a.resumes + b.resumes,
    broken: a.broken + b.broken,
  };
}
