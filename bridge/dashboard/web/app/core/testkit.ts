// What several tests need: seeded randomness, and clocks, timers and frames that stand until they are moved.

import type { CoreEnv } from "./env.ts";

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
