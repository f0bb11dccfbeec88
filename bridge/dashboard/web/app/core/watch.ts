// A filter as one tile, chart or table looks at it.

import type { Proof } from "plumbline-client";
import type { Feed, Member, Topic } from "./feed.ts";
import { Item, type ItemHost, type Shared, type WatchOptions } from "./item.ts";
import { checkLimits } from "./judge.ts";
import { Extractor } from "./payload.ts";
import type { Drawn, Scheduler } from "./scheduler.ts";
import { isExact, wildPart } from "./topics.ts";
import type { Latency, Mark } from "./types.ts";

/** How often onChange is called at most. */
export const changeMs = 200;

export interface WatchHost extends ItemHost {
  readonly scheduler: Scheduler;
  left(w: Watch): void;
}

export type OnChange = (changed: ReadonlySet<Item>, w: Watch) => void;

/** Watch holds the items of the topics that a filter takes. */
export class Watch implements Member {
  readonly filter: string;
  readonly exact: boolean;
  readonly needsAll: boolean;
  readonly items: ReadonlyMap<string, Item>;
  private readonly all = new Map<string, Item>();
  private readonly host: WatchHost;
  private readonly shared: Shared;
  private readonly onChange: OnChange | null;
  private readonly drawn: Drawn;
  private changedItems = new Set<Item>();
  private newItems = false;
  private paused = false;
  private source: Feed | null = null;
  private closed = false;

  /** It throws a RangeError that says how to mend a wrong filter, pointer, limits or number. */
  constructor(host: WatchHost, filter: string, o: WatchOptions, onChange: OnChange | null) {
    this.host = host;
    this.filter = filter;
    this.exact = isExact(filter);
    this.items = this.all;
    this.onChange = onChange;
    this.shared = shareOf(filter, o, (item) => this.touched(item));
    this.needsAll = this.shared.eager;
    this.drawn = host.scheduler.add(() => this.draw(), { everyMs: changeMs });
  }

  // Member of a feed.

  joined(feed: Feed): void {
    this.source = feed;
    this.feedChanged();
  }

  attach(topic: Topic): void {
    if (this.closed) return;
    const known = this.all.get(topic.name);
    if (known !== undefined) return known.moveTo(topic);
    const item = new Item(topic, this.shared, this.host, this.titleOf(topic.name));
    topic.sinks.push(item);
    this.all.set(topic.name, item);
    this.newItems = true;
    this.touched(item);
  }

  /** titleOf names a topic's alarms: by the title and, where the filter takes several topics, what its wildcards stand for. */
  private titleOf(topic: string): string {
    const title = this.shared.o.title ?? "";
    if (title === "" || this.exact) return title || topic;
    return `${title}: ${wildPart(this.filter, topic)}`;
  }

  feedChanged(): void {
    for (const item of this.all.values()) this.changedItems.add(item);
    this.newItems = true;
    this.dirty();
  }

  rejoin(): void {
    for (const item of this.all.values()) item.series?.rejoin();
  }

  resumed(): void {
    for (const item of this.all.values()) item.series?.resumed();
  }

  // What the page sees.

  /** total is the topics that came, shown or not. */
  get total(): number {
    const f = this.source;
    return f === null || f.filter !== this.filter ? this.all.size : Math.max(this.all.size, f.seen);
  }

  get totalIsMore(): boolean {
    return this.source?.filter === this.filter && this.source.seenIsMore;
  }

  /** note is "" or, in words, what is refused or left out. */
  get note(): string {
    const f = this.source;
    if (f === null) return "";
    if (f.note !== "") return f.note;
    if (this.total <= this.all.size) return "";
    const words = this.host.formats;
    return `${words.count(this.all.size)} of ${this.totalIsMore ? "more than " : ""}${words.count(this.total)} topics shown`;
  }

  get feed(): { readonly filter: string; readonly proof: Proof | null; readonly latency: Latency; readonly marks: readonly Mark[] } {
    const f = this.source;
    const latency = f === null ? { count: 0, p50Us: NaN, p99Us: NaN, maxUs: NaN, boundUs: Infinity, note: "" } : f.latency.read(this.host.env.now(), this.host.boundUs(), "");
    return { filter: f?.filter ?? this.filter, proof: f?.proof ?? null, latency, marks: f?.marks ?? [] };
  }

  /** setPaused stops onChange while its page is not shown. Limits are judged on; afterwards everything counts as changed. */
  setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    if (!paused) this.feedChanged();
  }

  /** tick looks about once a second for values that went stale. */
  tick(nowUs: number): void {
    for (const item of this.all.values()) {
      if (!item.tick(nowUs)) continue;
      item.changed++;
      this.touched(item);
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.drawn.remove();
    for (const item of this.all.values()) item.close();
    this.all.clear();
    this.changedItems.clear();
    this.host.left(this);
  }

  private touched(item: Item): void {
    if (this.onChange === null) return;
    this.changedItems.add(item);
    this.dirty();
  }

  private dirty(): void {
    if (this.onChange !== null && !this.paused && !this.closed) this.drawn.dirty();
  }

  private draw(): void {
    if (this.paused || this.closed || this.onChange === null || (this.changedItems.size === 0 && !this.newItems)) return;
    const changed = this.changedItems;
    this.changedItems = new Set();
    this.newItems = false;
    this.onChange(changed, this);
  }
}

function shareOf(filter: string, o: WatchOptions, touched: (item: Item) => void): Shared {
  if (filter === "") throw new RangeError("the filter is empty: # takes every topic");
  if (o.limits !== undefined) checkLimits(o.limits);
  const scale = finite("scale", o.scale ?? 1);
  const offset = finite("offset", o.offset ?? 0);
  if (o.staleAfterS !== undefined && !(o.staleAfterS > 0)) throw new RangeError(`staleAfterS is ${o.staleAfterS}: want more than 0 seconds; left out it is learned`);
  if (o.sparkS !== undefined && !(o.sparkS > 0)) throw new RangeError(`sparkS is ${o.sparkS}: want more than 0 seconds`);
  const judges = o.limits !== undefined || (o.states !== undefined && o.alarms !== false);
  return {
    o,
    extractor: new Extractor(o.pointer ?? null),
    sent: o.sent === undefined ? null : new Extractor(o.sent.pointer),
    scale,
    offset,
    staleUs: o.staleAfterS === undefined ? null : o.staleAfterS * 1e6,
    key: JSON.stringify([filter, o.pointer, scale, offset, o.limits, o.states]),
    eager: judges || o.every === "message" || o.sparkS !== undefined || o.sent !== undefined,
    touched,
  };
}

function finite(name: string, v: number): number {
  if (!Number.isFinite(v)) throw new RangeError(`${name} is ${v}: want a number`);
  return v;
}
