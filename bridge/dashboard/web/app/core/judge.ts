// From a number to a level, by limits with hysteresis and delay.

import type { Level, Limits } from "./types.ts";

/** checkLimits throws a RangeError that says how to mend limits that contradict each other. */
export function checkLimits(l: Limits): void {
  const order = ["alarmLow", "warnLow", "warnHigh", "alarmHigh"] as const;
  let before: (typeof order)[number] | null = null;
  for (const name of order) {
    const at = l[name];
    if (at === undefined) continue;
    if (!Number.isFinite(at)) throw new RangeError(`limits: ${name} is ${at}: want a number`);
    if (before !== null && (l[before] as number) > at) throw new RangeError(`limits: ${name} (${at}) lies below ${before} (${l[before]}): they rise from alarmLow over warnLow and warnHigh to alarmHigh`);
    before = name;
  }
  for (const name of ["hysteresis", "delayS"] as const) {
    const v = l[name];
    if (v !== undefined && !(v >= 0 && v < Infinity)) throw new RangeError(`limits: ${name} is ${v}: want 0 or more`);
  }
}

/** What a level was reached by. */
export interface Judged {
  readonly level: Level;
  readonly limit: number; // that is passed; NaN when none is
  readonly high: boolean;
}

type Rank = 0 | 1 | 2; // ok, warning, alarm
const levels: readonly Level[] = ["ok", "warning", "alarm"];
const nothing: Judged = Object.freeze({ level: "off", limit: NaN, high: false });

/** Judge keeps what hysteresis and delay need to know of one series. */
export class Judge {
  private readonly limits: Limits;
  private readonly delayUs: number;
  private rank: Rank = 0;
  private high = false;
  /** What the value is beyond its level, and since when; null when it is not. */
  private beyond: { rank: Rank; high: boolean; sinceUs: number } | null = null;
  private judged: Judged = nothing;

  constructor(limits: Limits) {
    checkLimits(limits);
    this.limits = limits;
    this.delayUs = (limits.delayS ?? 0) * 1e6;
  }

  get now(): Judged {
    return this.judged;
  }

  /** take judges a number of the time timeUs. What is no number is "off", and changes nothing: an alarm is not over because its sensor raves. */
  take(value: number, timeUs: number): Judged {
    if (Number.isNaN(value)) return nothing;
    const above = this.side(value, true);
    const below = this.side(value, false);
    const rank = above >= below ? above : below;
    const high = above >= below;
    if (rank <= this.rank) return this.settle(rank, high);
    // The delay runs from when the value left its level; its level then is what it says at the end.
    if (this.beyond === null || this.beyond.high !== high) this.beyond = { rank, high, sinceUs: timeUs };
    this.beyond.rank = rank;
    if (this.judged === nothing) this.judged = { level: "ok", limit: NaN, high };
    return this.tick(timeUs);
  }

  /** tick lets a delay run out while no value comes. */
  tick(nowUs: number): Judged {
    const b = this.beyond;
    return b !== null && nowUs - b.sinceUs >= this.delayUs ? this.settle(b.rank, b.high) : this.judged;
  }

  private settle(rank: Rank, high: boolean): Judged {
    this.beyond = null;
    if (this.judged === nothing || this.rank !== rank || this.high !== high) {
      this.rank = rank;
      this.high = high;
      this.judged = { level: levels[rank] ?? "off", limit: rank === 0 ? NaN : (this.limit(rank, high) ?? NaN), high };
    }
    return this.judged;
  }

  private limit(rank: 1 | 2, high: boolean): number | undefined {
    if (high) return rank === 2 ? this.limits.alarmHigh : this.limits.warnHigh;
    return rank === 2 ? this.limits.alarmLow : this.limits.warnLow;
  }

  /** side is the rank of a value on one side; a limit that was passed holds until the value is back by the hysteresis. */
  private side(value: number, high: boolean): Rank {
    const back = this.limits.hysteresis ?? 0;
    for (const rank of [2, 1] as const) {
      const at = this.limit(rank, high);
      if (at === undefined) continue;
      const passed = high ? value >= at : value <= at;
      const held = this.rank >= rank && this.high === high && (high ? value > at - back : value < at + back);
      if (passed || held) return rank;
    }
    return 0;
  }
}
