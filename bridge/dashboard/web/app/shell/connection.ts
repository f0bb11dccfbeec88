// What the head of the page says of the connection, in words. Pure: it is given what is known.

import type { State } from "plumbline-client";
import type { Health, Latency } from "../core/index.ts";
import type { Format } from "./format.ts";

export type Mood = "live" | "fallback" | "waiting" | "down";

export interface Said { readonly mood: Mood; readonly word: string; readonly why: string }

const ways = { websocket: "WebSocket", sse: "server-sent events", poll: "polling" } as const;

export function wayOf(s: State): string { return s.transport === null ? "" : ways[s.transport]; }

// sayState: a word for the pill and a sentence for why.
export function sayState(s: State, nowMs: number): Said {
  const again = s.nextTryMs === null ? "" : `; next try in ${Math.max(Math.ceil((s.nextTryMs - nowMs) / 1000), 0)} s`;
  if (!s.online && s.phase !== "open") return { mood: "down", word: "Offline", why: `This device has no network${again}` };
  switch (s.phase) {
    case "open":
      if (s.silentSinceMs !== null) return { mood: "waiting", word: "No sign of life", why: `Nothing has been heard of the bridge for ${Math.floor((nowMs - s.silentSinceMs) / 1000)} s, and it does not answer` };
      if (s.draining) return { mood: "waiting", word: "Restarting", why: "The bridge said that it is about to restart; this page comes back by itself" };
      if (s.fallback !== null) return { mood: "fallback", word: `Live by ${wayOf(s)}`, why: `Values come by ${wayOf(s)}: ${s.fallback.because}` };
      return { mood: "live", word: "Live", why: `Connected by ${wayOf(s)}` };
    case "connecting": return { mood: "waiting", word: "Connecting", why: s.reason === "" ? `Connecting by ${wayOf(s)}` : capital(s.reason) };
    case "waiting": return { mood: "down", word: "Disconnected", why: `${s.reason === "" ? "The connection is lost" : capital(s.reason)}${again}` };
    case "refused": return { mood: "down", word: s.cause?.kind === "token" ? "Signed out" : "Refused", why: capital(s.reason) };
    case "closed": return { mood: "down", word: "Closed", why: s.reason };
  }
}

function capital(text: string): string { return text.slice(0, 1).toUpperCase() + text.slice(1).replace(/[.\s]+$/, ""); }

// saySpan: a duration of microseconds with its unit.
export function saySpan(us: number, format: Format): string {
  if (!Number.isFinite(us)) return "unknown";
  if (Math.abs(us) < 1000) return `${format.number(us / 1000, 2)} ms`;
  if (Math.abs(us) < 10_000) return `${format.number(us / 1000, 1)} ms`;
  return Math.abs(us) < 1e6 ? `${format.number(us / 1000, 0)} ms` : `${format.number(us / 1e6, 1)} s`;
}

export function sayLatency(l: Latency, format: Format): string {
  if (l.count === 0) return "no reading in the last minute";
  return `half within ${saySpan(l.p50Us, format)}, 99 of 100 within ${saySpan(l.p99Us, format)}, each ± ${saySpan(l.boundUs, format)}`;
}

export function latencyShort(l: Latency, format: Format): string {
  return l.count === 0 || !Number.isFinite(l.boundUs) ? "" : `${saySpan(l.p50Us, format)} ± ${saySpan(l.boundUs, format)}`;
}

// proofShort: a sign's worth of the proof of completeness.
export function proofShort(health: Pick<Health, "live" | "complete" | "missing" | "gaps" | "refused">): { readonly ok: boolean; readonly text: string } {
  if (health.complete) return { ok: true, text: health.live ? "Complete" : "Complete so far" };
  if (health.missing > 0) return { ok: false, text: `${health.missing} missing` };
  if (health.gaps > 0) return { ok: false, text: health.gaps === 1 ? "1 gap" : `${health.gaps} gaps` };
  return { ok: false, text: health.refused === 0 ? "Not proven yet" : health.refused === 1 ? "1 filter refused" : `${health.refused} filters refused` };
}
