// How well the page knows what it shows, in figures and in words.

import type { Client, State } from "plumbline-client";
import type { Feed, Totals } from "./feed.ts";
import { formatAge, type Formats } from "./format.ts";
import type { Latencies } from "./latency.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Latency } from "./types.ts";

export interface Health {
  readonly state: State;
  /** Values can be live; reason says why not. */
  readonly live: boolean;
  readonly reason: string;
  readonly clock: { readonly known: boolean; readonly errorUs: number; readonly wallErrorUs: number; readonly note: string };
  /** From the bridge to this page, of the last minute. */
  readonly latency: Latency;
  /** From the sensor, where its own time is in the payload; null when none is configured. */
  readonly sensor: Latency | null;
  /** Proved: every filter stands or stood, none is refused, and no gap was declared. */
  readonly complete: boolean;
  readonly completeness: string;
  readonly delivered: number;
  readonly conflated: number;
  readonly gaps: number;
  readonly missing: number;
  readonly resumes: number;
  readonly topics: number;
  readonly feeds: number;
  /** Feeds that the bridge refuses. */
  readonly refused: number;
  readonly perSecond: number;
  readonly drawing: { readonly share: number; readonly fps: number };
}

interface Sources {
  readonly client: Client;
  readonly formats: Formats;
  readonly latency: Latencies;
  readonly sensor: Latencies;
  readonly scheduler: Scheduler;
  readonly feeds: ReadonlySet<Feed>;
  nowMs(): number;
}

/** unheard says why an open connection is not live. */
export const unheard = "nothing is heard of the bridge";

/** A wall clock that is wrong by more than this is worth a note. */
const wallErrorUs = 2_000_000;

/** healthOf looks at everything once. */
export function healthOf(s: Sources, counted: { readonly perSecond: number }): Health {
  const { client, formats } = s;
  const state = client.state;
  const live = state.phase === "open" && state.silentSinceMs === null;
  const clock = client.clock;
  const totals = sum([...s.feeds].map((f) => f.totals));
  const sensor = s.sensor.read(s.nowMs(), Infinity, "by the sensor's own clock, whose error is not known here");
  const all = [...s.feeds];
  const refused = all.filter((f) => f.refused).length;
  const open = all.filter((f) => !f.refused && (f.proof?.from ?? null) === null).length;
  let topics = 0;
  for (const f of s.feeds) topics += f.topics.size;
  return Object.freeze({
    state,
    live,
    reason: live ? "" : state.phase === "open" ? unheard : state.reason || "connecting",
    clock: { known: clock.known, errorUs: clock.errorUs, wallErrorUs: clock.wallErrorUs, note: clockNote(clock.known, clock.wallErrorUs) },
    latency: s.latency.read(s.nowMs(), clock.errorUs, clock.known ? "" : "not comparable yet: the bridge's clock is not known"),
    sensor: sensor.count === 0 ? null : sensor,
    complete: all.length > 0 && refused + open === 0 && totals.gaps === 0,
    completeness: completeness(totals, since(s.feeds), formats) + unproved(all.length, refused, open),
    delivered: totals.delivered,
    conflated: totals.conflated,
    gaps: totals.gaps,
    missing: totals.missing,
    resumes: totals.resumes,
    topics,
    feeds: s.feeds.size,
    refused,
    perSecond: counted.perSecond,
    drawing: s.scheduler.drawing,
  });
}

function sum(all: readonly Totals[]): Totals {
  const t = { delivered: 0, conflated: 0, gaps: 0, missing: 0, unknown: false, resumes: 0, broken: 0 };
  for (const one of all) {
    t.delivered += one.delivered;
    t.conflated += one.conflated;
    t.gaps += one.gaps;
    t.missing += one.missing;
    t.unknown ||= one.unknown;
    t.resumes += one.resumes;
    t.broken += one.broken;
  }
  return t;
}

/** since is when the youngest unbroken chain began: from then on all of them are whole. */
function since(feeds: ReadonlySet<Feed>): number | null {
  let at: number | null = null;
  for (const f of feeds) {
    const from = f.proof?.fromTimeUs ?? null;
    if (from !== null) at = at === null ? from : Math.max(at, from);
  }
  return at;
}

/** unproved says of which filters nothing is proved. */
function unproved(all: number, refused: number, open: number): string {
  const of = (n: number): string => (all === 1 ? "the filter" : `${n} of ${all} filters`);
  if (refused > 0) return `; the bridge refuses ${of(refused)}`;
  return open > 0 && all > open ? `; ${of(open)} not answered yet` : "";
}

function completeness(t: Totals, sinceUs: number | null, f: Formats): string {
  const left = t.conflated > 0 ? `, ${f.count(t.conflated)} left out on purpose for newer ones` : "";
  const came = `${f.count(t.delivered)} ${t.delivered === 1 ? "reading" : "readings"}${left}`;
  if (sinceUs === null) return "nothing is proved yet";
  if (t.gaps === 0) return `complete since ${f.time(sinceUs)}: ${came}`;
  const missing = t.unknown ? "it cannot be known how many entries are missing" : `${f.count(t.missing)} journal ${t.missing === 1 ? "entry" : "entries"} missing`;
  return `${t.gaps === 1 ? "1 declared gap" : `${f.count(t.gaps)} declared gaps`}, ${missing}; complete again since ${f.time(sinceUs)}: ${came}`;
}

function clockNote(known: boolean, wallUs: number): string {
  if (!known || !(Math.abs(wallUs) > wallErrorUs)) return "";
  return `this screen's clock is ${formatAge(Math.abs(wallUs))} ${wallUs < 0 ? "ahead" : "behind"}; times here are the bridge's`;
}
