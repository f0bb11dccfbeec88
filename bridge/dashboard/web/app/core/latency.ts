// How long readings took, over the last minute.

import type { Latency } from "./types.ts";

const perOctave = 16; // each bucket is at most 4.5 % wide
const octaves = 37; // up to 38 hours
const size = perOctave * octaves;

/** Latencies keeps the last 30 to 60 seconds in two histograms of fixed size. Not one of them is dropped. */
export class Latencies {
  private now = new Uint32Array(size);
  private before = new Uint32Array(size);
  private counts = [0, 0];
  private most = [0, 0];
  private turnedMs = -Infinity;

  /** add takes one, in microseconds. Clocks that disagree can make it negative: that counts as 0, and the bound says by how much it may be wrong. */
  add(us: number, nowMs: number): void {
    this.turn(nowMs);
    const at = bucketOf(us);
    this.now[at] = (this.now[at] as number) + 1;
    this.counts[0] = (this.counts[0] as number) + 1;
    if (us > (this.most[0] as number)) this.most[0] = us;
  }

  private turn(nowMs: number): void {
    if (this.turnedMs === -Infinity) this.turnedMs = nowMs;
    const turns = Math.floor((nowMs - this.turnedMs) / 30_000);
    if (turns <= 0) return;
    this.turnedMs += turns * 30_000;
    [this.now, this.before] = [this.before, this.now];
    this.now.fill(0);
    this.counts = [0, this.counts[0] as number];
    this.most = [0, this.most[0] as number];
    if (turns > 1) {
      this.before.fill(0);
      this.counts[1] = 0;
      this.most[1] = 0;
    }
  }

  read(nowMs: number, boundUs: number, note: string): Latency {
    this.turn(nowMs);
    const count = (this.counts[0] as number) + (this.counts[1] as number);
    const maxUs = Math.max(this.most[0] as number, this.most[1] as number);
    if (count === 0) return { count, p50Us: NaN, p99Us: NaN, maxUs: NaN, boundUs, note };
    return { count, p50Us: Math.min(this.quantile(count, 0.5), maxUs), p99Us: Math.min(this.quantile(count, 0.99), maxUs), maxUs, boundUs, note };
  }

  private quantile(count: number, q: number): number {
    const rank = Math.max(1, Math.ceil(q * count));
    let seen = 0;
    for (let i = 0; i < size; i++) {
      seen += (this.now[i] as number) + (this.before[i] as number);
      if (seen >= rank) return topOf(i);
    }
    return topOf(size - 1);
  }
}

/** bucketOf: 16 buckets to each doubling, from 1 µs. */
export function bucketOf(us: number): number {
  if (!(us > 1)) return 0;
  return Math.min(size - 1, Math.ceil(Math.log2(us) * perOctave));
}

/** topOf is the greatest latency of a bucket. */
export function topOf(bucket: number): number {
  return Math.pow(2, bucket / perOctave);
}
