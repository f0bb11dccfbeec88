import type { Env } from "./env.ts";
import type { Clock } from "./types.ts";

/** What two clocks may drift apart, parts per million: crystals do up to 100, and the bridge's may be steered. */
const driftPPM = 100;

/** What a stamp of the browser may be wrong by: 100 µs unless the page is isolated (High Resolution Time section 7.1). */
const resolutionUs = 100;

/** How many exchanges are kept: the best of the last few minutes. */
const kept = 8;

/** How far the machine's clock may move against the monotonic one before that counts as a step, or as sleep. */
const stepMs = 250;

/** One exchange: the bridge read its clock between the two stamps. */
interface Exchange {
  readonly middleMs: number;
  readonly offsetUs: number;
  readonly halfUs: number;
}

/** Estimates the bridge's clock by the quickest exchange (NTP's way, RFC 5905). It counts on the monotonic clock, so that the viewer's
 * own may be wrong by hours or be set. */
export class Estimate implements Clock {
  #exchanges: Exchange[] = [];
  #apartMs: number;

  constructor(private readonly env: Env) {
    this.#apartMs = env.wall() - env.now();
  }

  /** Takes an exchange: sent and received are stamps of env.now(), timeUs is what the bridge's clock said between. */
  add(sentMs: number, receivedMs: number, timeUs: number): void {
    this.look();
    const middleMs = (sentMs + receivedMs) / 2;
    const one = { middleMs, offsetUs: timeUs - this.#localUs(middleMs), halfUs: Math.max(0, receivedMs - sentMs) * 500 };
    const best = this.#best();
    if (best && Math.abs(best.offsetUs - one.offsetUs) > boundUs(best, receivedMs) + boundUs(one, receivedMs)) {
      this.#exchanges = []; // they cannot both be right: some clock was set
    }
    this.#exchanges.push(one);
    if (this.#exchanges.length > kept) {
      this.#exchanges.shift();
    }
  }

  /** Looks whether the machine slept or its clock was set: browsers may not count sleep, so what was known is of no use then. It
   * reports whether that is so. */
  look(): boolean {
    const apartMs = this.env.wall() - this.env.now();
    const stepped = Math.abs(apartMs - this.#apartMs) > stepMs;
    this.#apartMs = apartMs;
    if (stepped) {
      this.#exchanges = [];
    }
    return stepped;
  }

  get known(): boolean {
    return this.#exchanges.length > 0;
  }

  get offsetUs(): number {
    return this.#best()?.offsetUs ?? 0;
  }

  get errorUs(): number {
    const best = this.#best();
    return best ? boundUs(best, this.env.now()) : Infinity;
  }

  get rttUs(): number {
    const best = this.#best();
    return best ? 2 * best.halfUs : Infinity;
  }

  get wallErrorUs(): number {
    return this.known ? this.now() - this.env.wall() * 1000 : 0;
  }

  now(): number {
    return this.at(this.env.now());
  }

  at(performanceMs: number): number {
    const best = this.#best();
    return Math.round(best ? this.#localUs(performanceMs) + best.offsetUs : (this.env.wall() + performanceMs - this.env.now()) * 1000);
  }

  #localUs(ms: number): number {
    return (this.env.timeOrigin + ms) * 1000;
  }

  #best(): Exchange | undefined {
    const now = this.env.now();
    let best: Exchange | undefined;
    for (const one of this.#exchanges) {
      if (best === undefined || boundUs(one, now) < boundUs(best, now)) {
        best = one;
      }
    }
    return best;
  }
}

function boundUs(e: Exchange, nowMs: number): number {
  return e.halfUs + resolutionUs + (Math.max(0, nowMs - e.middleMs) * driftPPM) / 1000;
}

/** Reads an RFC 3339 time to the microsecond; NaN when it is none. */
export function parseTimeUs(text: string): number {
  const ms = Date.parse(text);
  const digits = /\.(\d+)/.exec(text)?.[1] ?? "";
  return Math.floor(ms / 1000) * 1e6 + Number(digits.slice(0, 6).padEnd(6, "0"));
}
