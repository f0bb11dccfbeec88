// How often a topic speaks, and so when its silence means that its value is no longer the present one.

/** So many intervals must be known before silence can be judged. */
const enough = 2;
/** What a value may be late beyond its rhythm: timers, garbage collection, a busy network. */
const slackUs = 500_000;
/** A topic whose rhythm is not known yet counts as live for so long after a message. */
const grace = 5_000_000;

/** Rhythm learns from the times at which the bridge took a topic's messages, so a slow link does not count as a slow sensor. */
export class Rhythm {
  private lastUs = NaN;
  private meanUs = 0;
  private peakUs = 0;
  private intervals = 0;

  /** heard takes the time of a message. */
  heard(timeUs: number): void {
    const interval = timeUs - this.lastUs;
    if (interval >= 0 && this.lastUs === this.lastUs) this.learn(interval);
    this.lastUs = timeUs;
  }

  private learn(interval: number): void {
    // After an outage the topic has no new rhythm: a silence counts as the longest that would still have been right, so that
    // one that did become slower is learned within some messages.
    const us = this.intervals >= enough ? Math.min(interval, this.limitUs) : interval;
    this.intervals++;
    // The first interval may reach back to a value that was held for long: the second replaces it when it is shorter.
    if (this.intervals === 2 && us < this.meanUs) this.meanUs = this.peakUs = us;
    this.meanUs = this.intervals === 1 ? us : this.meanUs + (us - this.meanUs) / 8;
    this.peakUs = Math.max(us, this.peakUs * 0.98);
  }

  get known(): boolean {
    return this.intervals >= enough;
  }

  /** usualUs is the mean interval; NaN when it is not known. */
  get usualUs(): number {
    return this.known ? this.meanUs : NaN;
  }

  /** limitUs is the silence from which on the value is stale. */
  get limitUs(): number {
    return this.known ? Math.max(3 * this.meanUs, 1.5 * this.peakUs) + slackUs : NaN;
  }

  /** judge says what an age means. afterUs, configured, replaces what was learned. */
  judge(ageUs: number, afterUs: number | null): "live" | "stale" | "none" {
    if (afterUs !== null) return ageUs <= afterUs ? "live" : "stale";
    if (this.known) return ageUs <= this.limitUs ? "live" : "stale";
    return ageUs <= grace ? "live" : "none";
  }
}
