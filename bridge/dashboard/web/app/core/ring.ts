// The newest points of one series, in typed arrays: no object per point, so nothing for the collector to do and no growth.

/** Ring holds up to a fixed number of points in the order they came. It begins small and doubles up to that. */
export class Ring {
  private time: Float64Array; // µs
  private value: Float64Array; // NaN: no number
  private offset: Float64Array; // in the journal
  private chain: Float64Array; // which journal, as the feed counts them
  private head = 0; // where the oldest is
  private held = 0;
  private readonly most: number;
  /** What left the ring last, as it came in: (chain, offset] is the newest that is not held any more. chain −1: nothing left yet. */
  leftChain = -1;
  leftOffset = -1;
  /** The latest time of all that left. */
  leftUs = -Infinity;

  constructor(most: number) {
    if (!Number.isInteger(most) || most < 1) throw new RangeError(`a ring of ${most} points: want at least one`);
    this.most = most;
    const n = Math.min(most, 64);
    this.time = new Float64Array(n);
    this.value = new Float64Array(n);
    this.offset = new Float64Array(n);
    this.chain = new Float64Array(n);
  }

  get length(): number {
    return this.held;
  }

  /** bytes is the memory of its arrays. */
  get bytes(): number {
    return this.time.byteLength * 4;
  }

  push(timeUs: number, value: number, offset: number, chain: number): void {
    if (this.held === this.time.length && this.held < this.most) this.grow();
    const size = this.time.length;
    let at = this.head + this.held;
    if (this.held === size) {
      at = this.head;
      this.leftChain = this.chain[at] ?? -1;
      this.leftOffset = this.offset[at] ?? -1;
      this.leftUs = Math.max(this.leftUs, this.time[at] as number);
      this.head = (this.head + 1) % size;
    } else {
      if (at >= size) at -= size;
      this.held++;
    }
    this.time[at] = timeUs;
    this.value[at] = value;
    this.offset[at] = offset;
    this.chain[at] = chain;
  }

  /** lacks says that what came up to there is not held, as if it had left: the ring begins later than what it is of. */
  lacks(timeUs: number, offset: number, chain: number): void {
    this.leftChain = chain;
    this.leftOffset = offset;
    this.leftUs = Math.max(this.leftUs, timeUs);
  }

  /** clear forgets everything, also what left. */
  clear(): void {
    this.head = this.held = 0;
    this.leftChain = this.leftOffset = -1;
    this.leftUs = -Infinity;
  }

  private grow(): void {
    const size = Math.min(this.most, this.time.length * 2);
    const move = (from: Float64Array): Float64Array => {
      const to = new Float64Array(size);
      to.set(from.subarray(this.head), 0);
      to.set(from.subarray(0, this.head), from.length - this.head);
      return to;
    };
    this.time = move(this.time);
    this.value = move(this.value);
    this.offset = move(this.offset);
    this.chain = move(this.chain);
    this.head = 0;
  }

  /** each calls f for the points from the oldest to the newest. */
  each(f: (timeUs: number, value: number, offset: number, chain: number) => void): void {
    const size = this.time.length;
    for (let i = 0, at = this.head; i < this.held; i++) {
      f(this.time[at] as number, this.value[at] as number, this.offset[at] as number, this.chain[at] as number);
      if (++at === size) at = 0;
    }
  }

  /** oldestUs is the time of the point that is held longest; NaN when there is none. */
  get oldestUs(): number {
    return this.held === 0 ? NaN : (this.time[this.head] as number);
  }
}
