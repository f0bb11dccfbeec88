// The alarm list: what stands, what was latched, what has ended. It lives in this tab and begins empty: an acknowledgement of
// yesterday must not hide what came in the night.

import type { Judge } from "./judge.ts";
import type { Level, Quality } from "./types.ts";

/** Ended alarms that are kept. */
const historyMost = 500;
/** Alarms that are listed at once; of more only the worst, and the rest is counted. */
const activeMost = 5000;
/** How long a closed source waits for the next one of its key: a page that is drawn anew closes all, and watches them again at once. */
const keepMs = 10_000;

export interface Alarm {
  readonly id: string;
  readonly topic: string;
  readonly title: string;
  readonly level: "notice" | "warning" | "alarm";
  /** What it is about: "82.1 °C, above 80". */
  readonly text: string;
  /** The worst so far, in the same words. */
  readonly worst: string;
  readonly standing: boolean;
  readonly acknowledged: boolean;
  /** It is over, and stays in the list until it is acknowledged. */
  readonly latched: boolean;
  readonly sinceUs: number;
  readonly endUs: number | null;
  readonly quality: Quality;
}

/** What a source says of its state at one time. */
export interface Signal {
  readonly level: Level;
  readonly text: string;
  readonly timeUs: number;
  /** How far beyond its limit the value is, to tell the worst of one level from others. */
  readonly severity: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const rank: Record<Level, number> = { off: -1, ok: 0, notice: 1, warning: 2, alarm: 3 };

/** AlarmSource is one value of one topic that can raise an alarm: one at a time. */
export class AlarmSource {
  private alarm: Mutable<Alarm> | null = null;
  private severity = -Infinity;
  private worstRank = -1;
  private readonly list: Alarms;
  private readonly topic: string;
  private title: string;
  private readonly latch: boolean;
  private quality: () => Quality;

  constructor(list: Alarms, o: { topic: string; title: string; latch: boolean; quality: () => Quality }) {
    this.list = list;
    this.topic = o.topic;
    this.title = o.title;
    this.latch = o.latch;
    this.quality = o.quality;
  }

  /** signal takes the present level. "off" changes nothing: what cannot be judged has not become good. */
  signal(s: Signal): void {
    if (s.level === "off") return;
    if (s.level === "ok") return this.end(s.timeUs);
    const a = this.alarm;
    if (a === null || !a.standing) {
      if (a !== null) this.list.retire(a); // latched, and raised again: the list has the new one
      this.severity = s.severity;
      this.worstRank = rank[s.level];
      this.alarm = this.list.raise({ topic: this.topic, title: this.title, level: s.level, text: s.text, worst: s.text, sinceUs: s.timeUs, quality: this.quality() });
      return;
    }
    const worse = rank[s.level] - rank[a.level];
    if (worse > 0) a.acknowledged = false; // it was a lesser one that was acknowledged
    const changed = a.level !== s.level || a.text !== s.text;
    a.level = s.level;
    a.text = s.text;
    if (rank[s.level] > this.worstRank || (rank[s.level] === this.worstRank && s.severity > this.severity)) {
      this.worstRank = rank[s.level];
      this.severity = s.severity;
      a.worst = s.text;
    }
    if (changed) this.list.touch();
  }

  /** refresh takes note of a value that went stale or came back: an alarm on a dead value is shown as such. */
  refresh(): void {
    const a = this.alarm;
    if (a === null || !a.standing) return;
    const quality = this.quality();
    if (quality === a.quality) return;
    a.quality = quality;
    this.list.touch();
  }

  private end(timeUs: number): void {
    const a = this.alarm;
    if (a === null || !a.standing) return;
    a.standing = false;
    a.endUs = timeUs;
    a.latched = this.latch && !a.acknowledged;
    if (!a.latched) this.list.retire(a);
    else this.list.touch();
    if (!a.latched) this.alarm = null;
  }

  /** resume goes on for another item of the same key. */
  resume(title: string, quality: () => Quality): void {
    this.title = title;
    this.quality = quality;
    if (this.alarm === null || this.alarm.title === title) return;
    this.alarm.title = title;
    this.list.touch();
  }

  /** close ends the alarm: nobody watches it any more. A latched one waits for its acknowledgement all the same. */
  close(timeUs: number): void {
    const a = this.alarm;
    if (a?.standing === true) a.text += "; no longer watched";
    this.end(timeUs);
  }
}

/** Kept is what a closed item leaves to the next of its key. */
export interface Kept {
  readonly source: AlarmSource;
  readonly judge: Judge | null;
}

/** Alarms is the list. Listeners are told by the given function, at most once a frame. */
export class Alarms {
  private readonly standing = new Map<string, Mutable<Alarm>>();
  private readonly ended: Mutable<Alarm>[] = [];
  private readonly listeners = new Set<() => void>();
  private readonly kept = new Map<string, (Kept & { readonly untilMs: number })[]>();
  private readonly announce: () => void;
  private sorted: readonly Alarm[] | null = null;
  private next = 1;

  constructor(announce: () => void) {
    this.announce = announce;
  }

  /** active is what stands or is latched: alarms first, those not acknowledged before others, then the newest. */
  get active(): readonly Alarm[] {
    this.sorted ??= [...this.standing.values()]
      .sort((a, b) => rank[b.level] - rank[a.level] || Number(a.acknowledged) - Number(b.acknowledged) || b.sinceUs - a.sinceUs)
      .slice(0, activeMost)
      .map((a) => Object.freeze({ ...a }));
    return this.sorted;
  }

  /** left is how many stand beyond those of active: the list of them would be of no use to anybody, and hold the page up. */
  get left(): number {
    return Math.max(0, this.standing.size - activeMost);
  }

  /** history is what has ended, the newest first. */
  get history(): readonly Alarm[] {
    return this.ended;
  }

  acknowledge(id: string): void {
    const a = this.standing.get(id);
    if (a === undefined || a.acknowledged) return;
    a.acknowledged = true;
    if (a.latched) {
      a.latched = false;
      this.retire(a);
    }
    this.touch();
  }

  on(f: () => void): () => void {
    this.listeners.add(f);
    return () => this.listeners.delete(f);
  }

  /** tell calls the listeners. */
  tell(): void {
    for (const f of this.listeners) f();
  }

  touch(): void {
    this.sorted = null;
    this.announce();
  }

  raise(a: Omit<Alarm, "id" | "standing" | "acknowledged" | "latched" | "endUs">): Mutable<Alarm> {
    const made = { ...a, id: String(this.next++), standing: true, acknowledged: false, latched: false, endUs: null };
    this.standing.set(made.id, made);
    this.touch();
    return made;
  }

  retire(a: Mutable<Alarm>): void {
    if (this.standing.delete(a.id)) {
      this.ended.unshift(a);
      if (this.ended.length > historyMost) this.ended.pop();
    }
    this.touch();
  }

  /** keep holds what a closed item leaves, for a short while. */
  keep(key: string, k: Kept, nowMs: number): void {
    const before = this.kept.get(key) ?? [];
    this.kept.set(key, [...before, { ...k, untilMs: nowMs + keepMs }]);
  }

  /** reclaim is what the first closed item of this key has left, and that is not over; null: nothing. */
  reclaim(key: string, nowMs: number, nowUs: number): Kept | null {
    this.sweep(nowMs, nowUs); // nothing else does while the page is hidden
    const all = this.kept.get(key);
    const first = all?.shift() ?? null;
    if (all?.length === 0) this.kept.delete(key);
    return first;
  }

  /** sweep ends what nobody has reclaimed. */
  sweep(nowMs: number, nowUs: number): void {
    for (const [key, all] of this.kept) {
      for (const k of all) if (k.untilMs <= nowMs) k.source.close(nowUs);
      const left = all.filter((k) => k.untilMs > nowMs);
      if (left.length > 0) this.kept.set(key, left);
      else this.kept.delete(key);
    }
  }
}
