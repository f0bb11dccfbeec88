// Statistics of a series per step of time: what a chart draws of it, one bucket for each column of pixels.

/** Bucket is one step's statistics. count 0: only what is no number came (broken), and the line has a hole there. */
export interface Bucket {
  readonly index: number; // its time is [index, index+1) × stepUs
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly last: number;
  readonly broken: boolean;
}

/**
 * Band holds buckets of one step, at most size of them, in typed arrays. What is folded in beyond the newest pushes the oldest
 * out, unless the band is bounded; what is older than all that fit is left out. Statistics of a bucket are those of all points
 * folded into it, in whatever order they came and whether singly or as a bucket of history.
 */
export class Band {
  readonly stepUs: number;
  readonly size: number;
  private readonly index: Float64Array;
  private readonly count: Float64Array;
  private readonly min: Float64Array;
  private readonly max: Float64Array;
  private readonly sum: Float64Array;
  private readonly last: Float64Array;
  private readonly lastAt: Float64Array;
  private readonly broken: Uint8Array;
  private low: number; // indexes [low, high) are taken
  private high: number;
  private newest = -Infinity;
  /** Rises with each change. */
  revision = 0;

  constructor(stepUs: number, size: number) {
    if (!(stepUs >= 1) || !Number.isInteger(size) || size < 1) throw new RangeError(`a band of ${size} steps of ${stepUs} µs: want at least one of each`);
    this.stepUs = stepUs;
    this.size = size;
    this.index = new Float64Array(size).fill(NaN);
    this.count = new Float64Array(size);
    this.min = new Float64Array(size);
    this.max = new Float64Array(size);
    this.sum = new Float64Array(size);
    this.last = new Float64Array(size);
    this.lastAt = new Float64Array(size);
    this.broken = new Uint8Array(size);
    this.low = -Infinity;
    this.high = Infinity;
  }

  /** bound makes the band take times in [fromUs, toUs) alone, of which size steps fit. */
  bound(fromUs: number, toUs: number): void {
    this.low = Math.floor(fromUs / this.stepUs);
    this.high = Math.min(Math.ceil(toUs / this.stepUs), this.low + this.size);
  }

  clear(): void {
    this.index.fill(NaN);
    this.newest = -Infinity;
    this.revision++;
  }

  /** fold adds one point. NaN breaks the line there. */
  fold(timeUs: number, value: number): void {
    const at = this.slot(Math.floor(timeUs / this.stepUs));
    if (at < 0) return;
    this.revision++;
    if (Number.isNaN(value)) {
      this.broken[at] = 1;
      return;
    }
    const n = this.count[at] as number;
    this.count[at] = n + 1;
    this.sum[at] = (n === 0 ? 0 : (this.sum[at] as number)) + value;
    if (n === 0 || value < (this.min[at] as number)) this.min[at] = value;
    if (n === 0 || value > (this.max[at] as number)) this.max[at] = value;
    if (n === 0 || timeUs >= (this.lastAt[at] as number)) {
      this.last[at] = value;
      this.lastAt[at] = timeUs;
    }
  }

  /** add folds the statistics of count points at once, of a step that begins at timeUs. */
  add(timeUs: number, count: number, min: number, max: number, sum: number, last: number): void {
    if (!(count > 0)) return;
    const at = this.slot(Math.floor(timeUs / this.stepUs));
    if (at < 0) return;
    this.revision++;
    const n = this.count[at] as number;
    this.count[at] = n + count;
    this.sum[at] = (n === 0 ? 0 : (this.sum[at] as number)) + sum;
    if (n === 0 || min < (this.min[at] as number)) this.min[at] = min;
    if (n === 0 || max > (this.max[at] as number)) this.max[at] = max;
    if (n === 0 || timeUs >= (this.lastAt[at] as number)) {
      this.last[at] = last;
      this.lastAt[at] = timeUs;
    }
  }

  /** slot finds or begins the place of a bucket; −1 when it is not to be held. */
  private slot(index: number): number {
    if (!(index >= this.low && index < this.high) || index <= this.newest - this.size) return -1;
    const at = ((index % this.size) + this.size) % this.size;
    if (this.index[at] !== index) {
      this.index[at] = index;
      this.count[at] = 0;
      this.broken[at] = 0;
      this.lastAt[at] = -Infinity;
      if (index > this.newest) this.newest = index;
    }
    return at;
  }

  /** each calls f for what is held of [fromUs, toUs), by time. The bucket is one object, good until f returns. */
  each(fromUs: number, toUs: number, f: (b: Bucket) => void): void {
    const first = Math.max(Math.floor(fromUs / this.stepUs), this.newest - this.size + 1);
    const end = Math.min(Math.ceil(toUs / this.stepUs), this.newest + 1);
    const b = { index: 0, count: 0, min: 0, max: 0, sum: 0, last: 0, broken: false };
    for (let index = first; index < end; index++) {
      const at = ((index % this.size) + this.size) % this.size;
      if (this.index[at] !== index) continue;
      b.index = index;
      b.count = this.count[at] as number;
      b.min = this.min[at] as number;
      b.max = this.max[at] as number;
      b.sum = this.sum[at] as number;
      b.last = this.last[at] as number;
      b.broken = this.broken[at] === 1;
      f(b);
    }
  }
}

/** The steps of a chart in milliseconds: each divides the next rollup of history where it can, so that it answers from few rows. */
const steps = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 10800e3, 21600e3, 43200e3, 86400e3, 172800e3, 604800e3,
];

/** stepFor is the finest step in µs by which spanUs has at most buckets steps. */
export function stepFor(spanUs: number, buckets: number): number {
  for (const ms of steps) if (spanUs / (ms * 1000) <= buckets) return ms * 1000;
  return Math.ceil(spanUs / buckets / 604800e6) * 604800e6;
}
