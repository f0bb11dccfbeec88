// One loop that draws everything. Nothing dirty: no frame is asked for. A hidden tab: none either.

import type { CoreEnv } from "./env.ts";

export interface DrawOptions {
  /** The shortest time between two draws. Default 200. */
  readonly everyMs?: number;
  /** While this is off screen it is not drawn. */
  readonly element?: Element;
}

export interface Drawn {
  /** Asks for a draw. */
  dirty(): void;
  /** Changes how often it may be drawn. */
  every(ms: number): void;
  remove(): void;
}

interface Task {
  draw: (nowMs: number) => void;
  everyMs: number;
  lastMs: number;
  isDirty: boolean;
  seen: boolean;
  element: Element | null;
}

/** No two frames are closer than this, whatever the display does: 60 a second. */
const frameMs = 15.5;
/** What one frame may cost before the rest waits for the next. */
const sliceMs = 8;
/** The share of the main thread that drawing may take; above it, intervals are stretched. */
const shareLimit = 0.15;
/** How far, at most. */
const stretchLimit = 20;
/** Over what time the share is measured. */
const windowMs = 1000;

/**
 * Scheduler draws what is dirty, each as often as it may be, the one that has waited longest first. It measures what drawing
 * costs and stretches all intervals while that is more than 15 % of the main thread.
 */
export class Scheduler {
  private readonly env: CoreEnv;
  private readonly tasks = new Set<Task>();
  private readonly observer: IntersectionObserver | null;
  private readonly byElement = new Map<Element, Set<Task>>();
  private readonly onVisibility = (): void => this.wake();
  private frame = 0;
  private timer = 0;
  private timerAt = Infinity;
  private lastFrameMs = -Infinity;
  private spentMs = 0;
  private frames = 0;
  private windowStartMs: number;
  private closed = false;
  /** How much longer the intervals are than asked for, because drawing costs too much. */
  stretch = 1;
  /** Share of the main thread and frames a second of the last whole second. */
  drawing = { share: 0, fps: 0 };

  constructor(env: CoreEnv) {
    this.env = env;
    this.windowStartMs = env.now();
    this.observer = typeof IntersectionObserver === "undefined" ? null : new IntersectionObserver((entries) => this.sighted(entries), { rootMargin: "50px" });
    env.document?.addEventListener("visibilitychange", this.onVisibility);
  }

  add(draw: (nowMs: number) => void, o: DrawOptions = {}): Drawn {
    const task: Task = { draw, everyMs: o.everyMs ?? 200, lastMs: -Infinity, isDirty: false, seen: true, element: o.element ?? null };
    this.tasks.add(task);
    if (task.element !== null && this.observer !== null) {
      const others = this.byElement.get(task.element);
      if (others !== undefined) others.add(task);
      else this.byElement.set(task.element, new Set([task]));
      this.observer.observe(task.element);
    }
    return {
      dirty: () => {
        if (task.isDirty) return;
        task.isDirty = true;
        this.wake();
      },
      every: (ms) => {
        task.everyMs = ms;
        this.wake();
      },
      remove: () => this.drop(task),
    };
  }

  private drop(task: Task): void {
    this.tasks.delete(task);
    if (task.element === null || this.observer === null) return;
    const others = this.byElement.get(task.element);
    others?.delete(task);
    if (others?.size === 0) {
      this.byElement.delete(task.element);
      this.observer.unobserve(task.element);
    }
  }

  private sighted(entries: readonly IntersectionObserverEntry[]): void {
    for (const e of entries) for (const task of this.byElement.get(e.target) ?? []) task.seen = e.isIntersecting;
    this.wake();
  }

  get hidden(): boolean {
    return this.env.document?.visibilityState === "hidden";
  }

  /** wake plans the next frame, or none. */
  private wake(): void {
    if (this.closed || this.frame !== 0) return;
    if (this.hidden) return;
    const now = this.env.now();
    let due = Infinity;
    for (const t of this.tasks) if (t.isDirty && t.seen) due = Math.min(due, t.lastMs + t.everyMs * this.stretch);
    if (due === Infinity) return;
    due = Math.max(due, this.lastFrameMs + frameMs);
    if (due <= now + frameMs) {
      this.cancelTimer();
      this.frame = this.env.frame((at) => this.run(at));
    } else if (due < this.timerAt - 1) {
      this.cancelTimer();
      this.timerAt = due;
      this.timer = this.env.after(due - now, () => {
        this.timer = 0;
        this.timerAt = Infinity;
        this.wake();
      });
    }
  }

  private cancelTimer(): void {
    if (this.timer !== 0) this.env.cancel(this.timer);
    this.timer = 0;
    this.timerAt = Infinity;
  }

  private run(_at: number): void {
    this.frame = 0;
    const began = this.env.now();
    if (this.closed || this.hidden) return;
    if (began - this.lastFrameMs < frameMs - 1) { // a display of more than 60 Hz
      this.wake();
      return;
    }
    this.lastFrameMs = began;
    const due = [...this.tasks].filter((t) => t.isDirty && t.seen && began >= t.lastMs + t.everyMs * this.stretch - 1).sort((a, b) => a.lastMs - b.lastMs);
    for (const t of due) {
      t.isDirty = false;
      t.lastMs = began;
      this.drawOne(t, began);
      if (this.env.now() - began > sliceMs) break;
    }
    this.account(began, this.env.now());
    this.wake();
  }

  /** drawOne keeps one that fails from stopping the others; the error is still seen, in the console and by window.onerror. */
  private drawOne(t: Task, nowMs: number): void {
    try {
      t.draw(nowMs);
    } catch (err) {
      this.env.after(0, () => {
        throw err;
      });
    }
  }

  private account(beganMs: number, endMs: number): void {
    this.spentMs += endMs - beganMs;
    this.frames++;
    const passed = endMs - this.windowStartMs;
    if (passed < windowMs) return;
    this.drawing = { share: this.spentMs / passed, fps: (this.frames * 1000) / passed };
    // Shares fall as intervals grow, so the step to the limit is their quotient. Coming back is slower than going.
    const wanted = this.stretch * (this.drawing.share / shareLimit);
    this.stretch = Math.min(stretchLimit, Math.max(1, wanted > this.stretch ? wanted : Math.max(wanted, this.stretch * 0.8)));
    this.spentMs = 0;
    this.frames = 0;
    this.windowStartMs = endMs;
  }

  close(): void {
    this.closed = true;
    this.cancelTimer();
    if (this.frame !== 0) this.env.cancelFrame(this.frame);
    this.frame = 0;
    this.observer?.disconnect();
    this.env.document?.removeEventListener("visibilitychange", this.onVisibility);
    this.tasks.clear();
  }
}
