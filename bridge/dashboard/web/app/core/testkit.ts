// What several tests need: seeded randomness, and clocks, timers and frames that stand until they are moved.

import { SubscribeError, type Client, type Cursor, type Events, type Proof, type State, type SubscribeOptions, type Update } from "plumbline-client";
import { Reading } from "../../client/src/reading.ts";
import type { CoreEnv } from "./env.ts";
import { Store } from "./store.ts";

/** rng is a small generator (mulberry32): the same seed gives the same numbers. */
export function rng(seed: number): { next(): number; int(below: number): number; pick<T>(of: readonly T[]): T } {
  let a = seed >>> 0;
  const next = (): number => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const int = (below: number): number => Math.floor(next() * below);
  return { next, int, pick: (of) => of[int(of.length)] as (typeof of)[number] };
}

/** seeds are those of a property test: random ones, or PLUMBLINE_SEED alone. A failing test's message must name its seed. */
export function seeds(n: number): number[] {
  const one = process.env["PLUMBLINE_SEED"];
  if (one !== undefined && one !== "") return [Number(one)];
  return Array.from({ length: n }, () => Math.floor(Math.random() * 2 ** 32));
}

/** StoodEnv is a CoreEnv whose time only moves by advance. */
export class StoodEnv implements CoreEnv {
  ms = 1000;
  visible = true;
  frames = 0;
  private readonly timers = new Map<number, { at: number; f: () => void }>();
  private readonly framed = new Map<number, (nowMs: number) => void>();
  private readonly shown = new Set<() => void>();
  private id = 1;
  random: () => number = () => 0.5;
  /** How long a frame's work takes, for tests of the scheduler: moved on by whoever draws. */
  readonly document = {
    addEventListener: (_: string, f: () => void) => void this.shown.add(f),
    removeEventListener: (_: string, f: () => void) => void this.shown.delete(f),
    visibilityState: "visible" as DocumentVisibilityState,
  } as unknown as Document;

  now(): number {
    return this.ms;
  }

  frame(f: (nowMs: number) => void): number {
    this.framed.set(++this.id, f);
    return this.id;
  }

  cancelFrame(id: number): void {
    this.framed.delete(id);
  }

  after(ms: number, f: () => void): number {
    this.timers.set(++this.id, { at: this.ms + ms, f });
    return this.id;
  }

  cancel(id: number): void {
    this.timers.delete(id);
  }

  fetch(): Promise<Response> {
    return Promise.reject(new Error("this test has no network"));
  }

  show(visible: boolean): void {
    (this.document as { visibilityState: DocumentVisibilityState }).visibilityState = visible ? "visible" : "hidden";
    for (const f of this.shown) f();
  }

  /** bound is this as a plain object, to be spread. */
  bound(): CoreEnv {
    return {
      now: () => this.ms,
      frame: (f) => this.frame(f),
      cancelFrame: (id) => this.cancelFrame(id),
      after: (ms, f) => this.after(ms, f),
      cancel: (id) => this.cancel(id),
      random: () => this.random(),
      document: this.document,
      fetch: () => this.fetch(),
    };
  }

  get waiting(): { frames: number; timers: number } {
    return { frames: this.framed.size, timers: this.timers.size };
  }

  /** advance lets time pass: timers when they are due, and frames of a display of so many Hz. */
  advance(ms: number, hz = 60): void {
    const end = this.ms + ms;
    let vsync = this.ms + 1000 / hz;
    for (;;) {
      let due = [...this.timers].filter(([, t]) => t.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      const frame = this.framed.size > 0 && vsync <= end;
      if (due !== undefined && frame && vsync < due[1].at) due = undefined;
      if (due !== undefined) {
        this.timers.delete(due[0]);
        this.ms = Math.max(this.ms, due[1].at);
        due[1].f();
      } else if (frame) {
        this.ms = Math.max(this.ms, vsync);
        const now = [...this.framed.values()];
        this.framed.clear();
        this.frames++;
        for (const f of now) f(this.ms);
      } else {
        this.ms = Math.max(this.ms, end);
        return;
      }
      while (vsync <= this.ms) vsync += 1000 / hz;
    }
  }
}

/** soon lets promises that are settled go on. */
export async function soon(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** Subscribed is one subscription of a Script. */
interface Subscribed {
  readonly filter: string;
  readonly options: SubscribeOptions;
  readonly say: (u: Update) => void;
  cursor: Cursor | null;
  live: boolean;
  proof: Proof;
  close(): void;
}

const unproved: Proof = { delivered: 0, conflated: 0, gaps: 0, missing: 0, unknown: false, resumes: 0, broken: 0, complete: true, from: null, fromTimeUs: null, to: null, checkedMs: null };

/** Script is a store whose client says what the test wants, for one subscription or several at once, and whose history answers what the test wants. */
export class Script {
  readonly env = new StoodEnv();
  readonly store: Store;
  readonly clock = { known: true, offsetUs: 0, errorUs: 100, rttUs: 200, wallErrorUs: 0, now: () => this.env.ms * 1000, at: (ms: number) => ms * 1000 };
  readonly subs = new Set<Subscribed>();
  readonly state = { phase: "open", reason: "", silentSinceMs: null, session: {} } as unknown as State;
  private readonly listeners: [name: keyof Events, f: (e: never) => void][] = [];
  /** The offset of the last reading. */
  offset = 0;

  constructor(maxTopics: number, history: ((url: URL) => unknown) | null = null) {
    const client = {
      state: this.state,
      clock: this.clock,
      on: (name: keyof Events, f: (e: never) => void) => {
        this.listeners.push([name, f]);
        return () => undefined;
      },
      subscribe: (filter: string, options: SubscribeOptions, say: (u: Update) => void) => {
        const made: Subscribed = { filter, options, say, cursor: null, live: false, proof: unproved, close: () => void this.subs.delete(made) };
        this.subs.add(made);
        return made;
      },
    } as unknown as Client;
    this.env.ms = 1e9;
    const env = this.env.bound();
    if (history !== null) env.fetch = (url) => Promise.resolve(new Response(JSON.stringify(history(new URL(url, "http://bridge.example")))));
    this.store = new Store({ client, history: history === null ? null : { base: "/history" }, locale: "en-GB", maxTopics, env });
  }

  /** emit tells of an event of the client. */
  emit<K extends keyof Events>(name: K, event: Events[K]): void {
    for (const [of, f] of this.listeners) if (of === name) f(event as never);
  }

  private get cursor(): Cursor {
    return { epoch: "e", offset: this.offset };
  }

  /** say tells each subscription of the filter, or all, and keeps its account. */
  say(u: Update, filter?: string): void {
    for (const sub of [...this.subs]) {
      if (filter !== undefined && sub.filter !== filter) continue;
      const p = sub.proof;
      sub.cursor = u.cursor;
      sub.live = u.kind !== "end";
      if (u.kind === "start" && (p.from === null || !u.recovered)) sub.proof = { ...p, from: u.cursor, fromTimeUs: this.env.ms * 1000 };
      if (u.kind === "data") sub.proof = { ...p, delivered: p.delivered + u.readings.length };
      if (u.kind === "gap") sub.proof = { ...p, gaps: p.gaps + 1, missing: p.missing + (u.count ?? 0), complete: false };
      if (u.kind === "end") this.subs.delete(sub);
      sub.say(u);
    }
  }

  start(filter?: string): void {
    this.say({ kind: "start", cursor: this.cursor, readings: [], recovered: false, reason: "" }, filter);
  }

  /** resume is what a client says when it goes on behind its cursor. */
  resume(): void {
    this.say({ kind: "start", cursor: this.cursor, readings: [], recovered: true, reason: "" });
  }

  /** batch delivers one reading of each topic. */
  batch(topics: readonly string[], payload: (i: number) => string): void {
    const from = this.offset;
    const time = this.env.ms * 1000;
    const readings = topics.map((topic, i) => new Reading(++this.offset, time, topic, 0, false, payload(i)));
    this.say({ kind: "data", cursor: this.cursor, from, to: this.offset, readings, conflated: 0, open: false });
  }

  gap(count: number): void {
    const from = this.cursor;
    this.offset += count;
    this.say({ kind: "gap", cursor: this.cursor, readings: [], from, to: this.cursor, count, reason: "evicted" });
  }

  refuse(filter: string, reason: string): void {
    this.say({ kind: "end", cursor: this.cursor, readings: [], error: new SubscribeError(filter, reason, "") }, filter);
  }
}
