// The words that the whole page shares.

/** How bad a value is, by limits or states; "off": it cannot be judged, or there is nothing to judge by. */
export type Level = "ok" | "notice" | "warning" | "alarm" | "off";

/** Whether a value may be taken for the present one. "none": there is none, or only a held one of which nobody knows how often it comes. */
export type Quality = "live" | "stale" | "none";

/** A payload, parsed. */
export type Value =
  | { readonly kind: "number"; readonly number: number; readonly text: string; readonly exact: boolean } // exact false: beyond 2^53
  | { readonly kind: "bool"; readonly number: 0 | 1; readonly text: string }
  | { readonly kind: "nan"; readonly text: string } // NaN, Infinity, 1e999: shown, never drawn
  | { readonly kind: "text" | "json" | "binary" | "empty" | "missing"; readonly text: string; readonly bytes: number };

/** Limits of a number, in its shown unit. A value at a limit has passed it. */
export interface Limits {
  readonly alarmLow?: number;
  readonly warnLow?: number;
  readonly warnHigh?: number;
  readonly alarmHigh?: number;
  /** How far back behind the limit a value must come before its level falls. Default 0. */
  readonly hysteresis?: number;
  /** A passed alarm stays in the list until somebody has acknowledged it. */
  readonly latch?: boolean;
  /** Seconds that a limit must stay passed before the level rises. Default 0. */
  readonly delayS?: number;
}

/** A mark on the time axis. */
export interface Mark {
  readonly kind: "gap" | "conflated";
  readonly fromUs: number;
  readonly toUs: number;
  readonly count: number | null; // entries; null: not known
  readonly reason: string;
  /** Up to where in the journal it reaches: history that has come so far has what it can have of it. */
  readonly upTo?: { readonly epoch: string; readonly offset: number };
}

/** Latencies of a minute, in microseconds. */
export interface Latency {
  readonly count: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** How wrong each of them can be, because the two clocks agree to within this only. Infinity: they were not compared yet. */
  readonly boundUs: number;
  readonly note: string;
}
