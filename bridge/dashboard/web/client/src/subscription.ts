import { formatCursor, parseCursor } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import type { SubscribeError } from "./errors.ts";
import type { FeedStep, Sink, Wire } from "./feed.ts";
import type { Reading } from "./reading.ts";
import type { Proof, SubscribeOptions, Subscription, Update } from "./types.ts";

/** What a Sub needs of its client. */
export interface Owner {
  /** The bridge's time, microseconds since 1970. */
  timeUs(): number;
  nowMs(): number;
  report(error: unknown): void;
  drop(sub: Sub): void;
}

const defaultHiddenTickMs = 5_000;

/** The one implementation of Subscription. It outlives sessions: what it holds is a cursor and counters. */
export class Sub implements Subscription, Sink {
  readonly options: Readonly<SubscribeOptions>;
  live = false;
  ended = false;
  /** Where it stands, also while a snapshot is incomplete: then nothing can be resumed from it. */
  place: Cursor | null;

  #half = false;
  #away = true; // no session since the last one, or ever
  #delivered = 0;
  #conflated = 0;
  #gaps = 0;
  #missing = 0;
  #unknown = false;
  #resumes = 0;
  #broken = 0;
  #from: Cursor | null = null;
  #fromTimeUs: number | null = null;
  #checkedMs: number | null = null;

  constructor(
    readonly filter: string,
    options: SubscribeOptions,
    private readonly owner: Owner,
    private readonly onUpdate: (update: Update) => void,
  ) {
    check(filter, options);
    this.options = Object.freeze({ ...options });
    this.place = placeOf(options.since);
  }

  get cursor(): Cursor | null {
    return this.#half ? null : this.place;
  }

  get proof(): Proof {
    return Object.freeze({
      delivered: this.#delivered,
      conflated: this.#conflated,
      gaps: this.#gaps,
      missing: this.#missing,
      unknown: this.#unknown,
      resumes: this.#resumes,
      broken: this.#broken,
      complete: this.#gaps === 0,
      from: this.#from,
      fromTimeUs: this.#fromTimeUs,
      to: this.place,
      checkedMs: this.#checkedMs,
    });
  }

  /** What it wants of the bridge while the page is visible or hidden; null = nothing. */
  wire(hidden: boolean): Wire | null {
    const o = this.options;
    const mode = o.mode ?? "all";
    const whenHidden = o.hidden ?? (mode === "all" ? "live" : "slow");
    if (hidden && whenHidden === "pause") {
      return null;
    }
    if (hidden && whenHidden === "slow") {
      const everyMs = o.hiddenTickMs ?? defaultHiddenTickMs;
      const usualMs = o.everyMs ?? o.tickMs ?? 0;
      if (mode !== "sample" || usualMs < everyMs) { // never faster than what a visible page gets
        return { mode: "latest", everyMs: Math.max(everyMs, usualMs) };
      }
    }
    return mode === "all" ? { mode } : { mode, everyMs: o.everyMs ?? o.tickMs ?? null };
  }

  start(step: FeedStep, recovered: boolean, reason: string): void {
    if (this.ended) { // by the page, at the gap just before
      return;
    }
    if (this.#from === null || !recovered) {
      this.#begin(step.at);
    }
    if (this.#away && recovered) {
      this.#resumes++;
    }
    this.#away = false;
    this.live = true;
    this.#move(step, { kind: "start", cursor: null, readings: [], recovered, reason });
  }

  snapshot(step: FeedStep, readings: Reading[]): void {
    this.#move(step, { kind: "snapshot", cursor: null, readings, last: !step.half });
  }

  data(step: FeedStep, from: number, readings: Reading[], conflated: number, open: boolean): void {
    if (this.ended) {
      return;
    }
    this.#delivered += readings.length;
    this.#conflated += conflated;
    this.#move(step, { kind: "data", cursor: step.at, from, to: step.at.offset, readings, conflated, open });
  }

  gap(step: FeedStep, from: Cursor, count: number | null, reason: string): void {
    if (count !== 0) { // an empty one only ends an open count
      this.#gaps++;
      this.#missing += count ?? 0;
      this.#unknown ||= count === null;
      this.#begin(step.at);
    }
    this.#move(step, { kind: "gap", cursor: null, readings: [], from, to: step.at, count, reason });
  }

  /** Ends it for a reason of the bridge. */
  refuse(error: SubscribeError): void {
    if (!this.ended) {
      this.ended = true;
      this.live = false;
      this.owner.drop(this);
      this.#tell({ kind: "end", cursor: this.cursor, readings: [], error });
    }
  }

  close(): void {
    if (!this.ended) {
      this.ended = true;
      this.live = false;
      this.owner.drop(this);
    }
  }

  /** Notes that nothing comes until the bridge is asked again, in the same session. */
  pause(): void {
    this.live = false;
  }

  /** Notes that the session is over. */
  rest(): void {
    this.live = false;
    this.#away = true;
  }

  /** Notes that something undeclared was missing. */
  broke(): void {
    this.#broken++;
  }

  /** Notes that the bridge's account agreed. */
  checked(): void {
    this.#checkedMs = this.owner.nowMs();
  }

  #begin(at: Cursor): void {
    this.#from = at;
    this.#fromTimeUs = this.owner.timeUs();
  }

  #move(step: FeedStep, update: Update): void {
    if (this.ended) {
      return;
    }
    this.place = step.at;
    this.#half = step.half;
    this.#tell({ ...update, cursor: this.cursor } as Update);
  }

  #tell(update: Update): void {
    try {
      this.onUpdate(update);
    } catch (error) {
      this.owner.report(error);
    }
  }
}

function placeOf(since: SubscribeOptions["since"]): Cursor | null {
  if (since === undefined || since === "") {
    return null;
  }
  return parseCursor(typeof since === "string" ? since : formatCursor(since));
}

function check(filter: string, o: SubscribeOptions): void {
  const wrong = (what: string) => new RangeError(`plumbline-client: subscribe ${JSON.stringify(filter)}: ${what}`);
  const bounds = (name: "tickMs" | "everyMs" | "hiddenTickMs", least: number, most: number) => {
    const value = o[name];
    if (value !== undefined && (!Number.isInteger(value) || value < least || value > most)) {
      throw wrong(`${name} is ${value}: want a whole number from ${least} to ${most}`);
    }
  };
  if (filter === "") {
    throw wrong("the filter is empty: # is everything");
  }
  const mode = o.mode ?? "all";
  if (mode !== "all" && mode !== "latest" && mode !== "sample") {
    throw wrong(`mode is ${JSON.stringify(mode)}: want all, latest or sample`);
  }
  if ((mode === "sample") !== (o.everyMs !== undefined) || (mode !== "latest" && o.tickMs !== undefined)) {
    throw wrong("everyMs belongs to mode sample, which needs it, and tickMs to mode latest");
  }
  bounds("tickMs", 10, 60_000);
  bounds("everyMs", 10, 3_600_000);
  bounds("hiddenTickMs", 10, 60_000);
}
