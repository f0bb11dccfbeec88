import type { Cursor } from "./cursor.ts";
import type { Env, CancelTimer } from "./env.ts";
import type { FeedStep, Sink } from "./feed.ts";
import type { Reading } from "./reading.ts";

/** Over events and polling the bridge knows no modes. Thin leaves out here what it would have left out: of each topic it passes on the
 * newest reading, once a tick, and counts the rest. What it holds when the session ends is fetched again, for the cursor moves
 * only with what was passed on. */
export class Thin implements Sink {
  #held = new Map<string, Reading>();
  #from = 0;
  #at: Cursor | null = null;
  #conflated = 0;
  #lastMs = -Infinity;
  #cancel: CancelTimer | null = null;

  constructor(
    private readonly sink: Sink,
    private readonly everyMs: number,
    private readonly env: Env,
  ) {}

  start(step: FeedStep, recovered: boolean, reason: string): void {
    this.sink.start(step, recovered, reason);
  }

  snapshot(step: FeedStep, readings: Reading[]): void {
    this.sink.snapshot(step, readings);
  }

  gap(step: FeedStep, from: Cursor, count: number | null, reason: string): void {
    this.flush();
    this.sink.gap(step, from, count, reason);
  }

  data(step: FeedStep, from: number, readings: Reading[]): void {
    if (this.#at === null) {
      this.#from = from;
    }
    this.#at = step.at;
    for (const one of readings) {
      if (this.#held.delete(one.topic)) { // so that the newest stands last: journal order
        this.#conflated++;
      }
      this.#held.set(one.topic, one);
    }
    const waitMs = this.#lastMs + this.everyMs - this.env.now();
    if (waitMs <= 0) {
      this.flush();
    } else {
      this.#cancel ??= this.env.setTimer(() => this.flush(), waitMs);
    }
  }

  /** Forgets what it holds. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#at = null;
    this.#held = new Map();
  }

  /** Passes on what it holds. */
  flush(): void {
    const at = this.#at;
    const readings = [...this.#held.values()];
    const conflated = this.#conflated;
    const from = this.#from;
    this.stop();
    this.#conflated = 0;
    if (at !== null) {
      this.#lastMs = this.env.now();
      this.sink.data({ at, half: false }, from, readings, conflated, false);
    }
  }
}
