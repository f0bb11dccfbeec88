// One series over a stretch of time: history up to a cursor, and behind that cursor what came live.

import type { CoreEnv } from "./env.ts";
import { Band, stepFor } from "./band.ts";
import type { Feed } from "./feed.ts";
import { HistoryError, type Aggregate, type History, type HistoryGap } from "./history.ts";
import type { Ring } from "./ring.ts";
import type { Mark } from "./types.ts";

/** How a view stands to history. */
export type Joined = "none" | "loading" | "joined" | "failed";

/** Where a view's points come from. */
export interface ViewSource {
  readonly topic: string;
  readonly feed: Pick<Feed, "epochs" | "chainFrom" | "marks">;
  readonly ring: Ring;
  /** The name in history; it may be known only when the first value has come. */
  field(): string;
  unit(): string;
  readonly scale: number;
  readonly offset: number;
  nowUs(): number;
  /** nowUs is the bridge's time and not yet a guess. */
  clockKnown(): boolean;
}

/** A part of the time that history has answered for: everything up to (epoch, offset) whose time lies in [fromUs, toUs). */
interface Covered {
  readonly epoch: string; // the feed may come to know it only later
  readonly offset: number;
  readonly fromUs: number;
  readonly toUs: number;
}

/** How often history is asked again while it is not as far as the live chain's beginning: a sink lags by some time. */
const againMs = [250, 500, 1000, 2000, 4000, 8000, 8000, 8000];
/** How often it is asked once that has failed: a wall hangs for months, and history comes back. */
const laterMs = [60_000, 120_000, 300_000];

/**
 * View joins the two so that each reading counts once. A point from the ring is in an answer of history exactly when its journal
 * entry is not behind the answer's cursor and its time is in the asked stretch; such a point is left out of the band, all others
 * are folded in. There is no hole when the answer reaches the entry where the live chain began, and nothing that left the ring is
 * behind the answer's cursor or time; until both hold, history is asked again.
 */
export class View {
  band: Band;
  joined: Joined = "none";
  note = "";
  following = true;
  /** Before this time values may be of steps longer than the band's. */
  fineFromUs = -Infinity;
  private spanUs = 0;
  private fixedFromUs = 0;
  private fixedToUs = 0;
  private readonly source: ViewSource;
  private readonly history: Pick<History, "load"> | null;
  private readonly env: CoreEnv;
  private readonly onChange: () => void;
  private covered: readonly Covered[] = [];
  private gaps: readonly HistoryGap[] = [];
  private asked: AbortController | null = null;
  private attempt = 0;
  private later = 0; // questions since it failed
  private timer = 0;
  private closed = false;

  constructor(source: ViewSource, history: Pick<History, "load"> | null, env: CoreEnv, onChange: () => void) {
    this.source = source;
    this.history = history;
    this.env = env;
    this.onChange = onChange;
    this.band = new Band(1e6, 1);
  }

  /** follow shows the last spanUs in at most so many buckets, and goes on with the present. */
  follow(spanUs: number, buckets: number): void {
    this.following = true;
    this.spanUs = spanUs;
    const stepUs = stepFor(spanUs, buckets);
    this.band = new Band(stepUs, Math.ceil(spanUs / stepUs) + 2);
    this.reload();
  }

  /** fix shows [fromUs, toUs) and stands still. */
  fix(fromUs: number, toUs: number, buckets: number): void {
    this.following = false;
    this.fixedFromUs = fromUs;
    this.fixedToUs = toUs;
    const stepUs = stepFor(toUs - fromUs, buckets);
    this.band = new Band(stepUs, Math.ceil((toUs - fromUs) / stepUs) + 4);
    this.band.bound(fromUs - stepUs, toUs + stepUs);
    this.reload();
  }

  /** hold stops following where the view is: nothing is lost and nothing asked. */
  hold(): void {
    if (!this.following) return;
    const { fromUs, toUs } = this.window();
    this.following = false;
    this.fixedFromUs = fromUs;
    this.fixedToUs = toUs;
    this.band.bound(toUs - this.band.size * this.band.stepUs, toUs);
  }

  window(): { fromUs: number; toUs: number } {
    if (!this.following) return { fromUs: this.fixedFromUs, toUs: this.fixedToUs };
    const toUs = this.source.nowUs();
    return { fromUs: toUs - this.spanUs, toUs };
  }

  /** push takes a point that has just been put into the ring. */
  push(timeUs: number, value: number, offset: number, chain: number): void {
    if (!this.has(timeUs, offset, chain)) this.band.fold(timeUs, value);
  }

  /** rejoin asks history anew: the live chain has a hole, or has begun. */
  rejoin(): void {
    if (this.history === null || this.closed) return;
    this.attempt = 0;
    this.later = 0;
    this.again();
  }

  /** resumed asks again where history had failed: a connection is back, and history perhaps with it. */
  resumed(): void {
    if (this.joined === "failed") this.rejoin();
  }

  /** marks are the gaps and conflations that touch the view and that history has not filled. */
  marks(): Mark[] {
    const { fromUs, toUs } = this.window();
    const out: Mark[] = [];
    for (const m of this.source.feed.marks) {
      if (m.toUs < fromUs || m.fromUs > toUs) continue;
      if (m.upTo !== undefined && this.reached(m.upTo)) continue;
      out.push(m);
    }
    for (const g of this.gaps) {
      if (g.toUs >= fromUs && g.fromUs <= toUs) out.push({ kind: "gap", fromUs: g.fromUs, toUs: g.toUs, count: g.count > 0 ? g.count : null, reason: g.reason });
    }
    return out;
  }

  /** reached says that the answers on show hold everything up to this place. */
  private reached(at: { readonly epoch: string; readonly offset: number }): boolean {
    const chain = this.source.feed.epochs.lastIndexOf(at.epoch);
    return this.covered.some((c) => {
      const until = this.source.feed.epochs.lastIndexOf(c.epoch);
      return chain >= 0 && (chain < until || (chain === until && at.offset <= c.offset));
    });
  }

  private has(timeUs: number, offset: number, chain: number): boolean {
    for (const c of this.covered) {
      if (timeUs < c.fromUs || timeUs >= c.toUs) continue;
      const until = this.source.feed.epochs.lastIndexOf(c.epoch);
      if (chain < until || (chain === until && offset <= c.offset)) return true;
    }
    return false;
  }

  /** reload shows at once what is held, and asks history for the rest. */
  private reload(): void {
    this.covered = [];
    this.gaps = [];
    this.attempt = 0;
    this.later = 0;
    this.fineFromUs = -Infinity;
    this.joined = this.history === null ? "none" : "loading";
    this.note = "";
    this.rebuild([]);
    void this.load();
  }

  private rebuild(answers: readonly Aggregate[]): void {
    const { scale, offset } = this.source;
    this.band.clear();
    for (const a of answers) {
      for (const r of a.rows) {
        const one = r.min * scale + offset;
        const other = r.max * scale + offset;
        this.band.add(r.t, r.count, Math.min(one, other), Math.max(one, other), r.sum * scale + offset * r.count, r.last * scale + offset);
      }
    }
    this.source.ring.each((t, v, o, chain) => {
      if (!this.has(t, o, chain)) this.band.fold(t, v);
    });
    this.onChange();
  }

  private async load(): Promise<void> {
    this.env.cancel(this.timer);
    this.asked?.abort();
    if (this.history === null || this.closed) return;
    if (!this.source.clockKnown() && this.attempt < againMs.length) return this.again(); // what is now is not known yet
    const mine = new AbortController();
    this.asked = mine;
    if (this.joined === "failed" && this.later === 0) this.joined = "loading";
    const { fromUs, toUs } = this.window();
    const stepUs = this.band.stepUs;
    const question = { topic: this.source.topic, field: this.source.field(), fromUs: Math.max(0, fromUs), toUs: toUs + 2 * stepUs, stepUs };
    try {
      const answers = await this.ask(question, mine.signal);
      if (!mine.signal.aborted) this.apply(answers);
    } catch (err) {
      if (!mine.signal.aborted) this.fail(err);
    }
  }

  private async ask(q: { topic: string; field: string; fromUs: number; toUs: number; stepUs: number }, signal: AbortSignal): Promise<Aggregate[]> {
    const history = this.history as Pick<History, "load">;
    try {
      return await history.load(q, signal);
    } catch (err) {
      // Only where one field was stored with several units must it be named: it is the one that the payload has now.
      if (!(err instanceof HistoryError) || err.parameter !== "unit") throw err;
      return await history.load({ ...q, unit: this.source.unit() }, signal);
    }
  }

  private apply(answers: readonly Aggregate[]): void {
    this.asked = null;
    const epochs = this.source.feed.epochs;
    const isWhole = this.whole(answers[0] as Aggregate);
    // A picture that is whole is not replaced by one that is not. Nor are points shown beside an answer of a journal that the
    // feed has not reached: nobody could tell which of them it holds.
    const strange = epochs.length > 0 && !epochs.includes((answers[0] as Aggregate).epoch);
    if (!isWhole && (this.joined === "joined" || strange)) return this.missed();
    this.covered = answers.map((a) => ({ epoch: a.epoch, offset: a.offset, fromUs: a.fromUs, toUs: a.toUs }));
    this.gaps = answers.flatMap((a) => a.gaps);
    this.fineFromUs = answers.length > 1 ? (answers[0] as Aggregate).fromUs : -Infinity;
    this.rebuild(answers);
    if (isWhole) {
      this.joined = "joined";
      this.later = 0;
      this.note = answers.length > 1 ? "older values are means of longer steps" : "";
      return this.onChange();
    }
    this.missed();
  }

  /** missed is called when history and the live chain do not meet yet. */
  private missed(): void {
    if (this.source.feed.chainFrom < 0) return this.onChange(); // there is no live chain to join: rejoin comes with it
    if (this.attempt < againMs.length) return this.again();
    this.joined = "failed";
    this.note = "history is behind the present: a stretch between them is missing here";
    this.askLater();
    this.onChange();
  }

  /** whole says that nothing is missing between an answer and the ring. */
  private whole(a: Aggregate): boolean {
    const { feed, ring } = this.source;
    const chain = feed.epochs.lastIndexOf(a.epoch);
    if (chain < 0 || chain !== feed.epochs.length - 1 || feed.chainFrom < 0) return false;
    if (a.offset < feed.chainFrom) return false;
    // What the answer's time did not reach must still be in the ring, if it is to be shown.
    if (this.following && ring.leftUs >= a.toUs) return false;
    return ring.leftChain < chain || (ring.leftChain === chain && ring.leftOffset <= a.offset);
  }

  /** again asks after a growing wait that differs from view to view. */
  private again(): void {
    const ms = (againMs[Math.min(this.attempt++, againMs.length - 1)] as number) * (0.5 + this.env.random());
    this.env.cancel(this.timer);
    this.timer = this.env.after(ms, () => void this.load());
  }

  private askLater(): void {
    const ms = (laterMs[Math.min(this.later++, laterMs.length - 1)] as number) * (0.5 + this.env.random());
    this.env.cancel(this.timer);
    this.timer = this.env.after(ms, () => void this.load());
  }

  private fail(err: unknown): void {
    this.asked = null;
    this.joined = "failed";
    this.note = err instanceof Error ? err.message : String(err);
    // A refusal stands until the page is another; all else may pass.
    if (!(err instanceof HistoryError && (err.status === 400 || err.status === 403))) this.askLater();
    this.onChange();
  }

  close(): void {
    this.closed = true;
    this.env.cancel(this.timer);
    this.asked?.abort();
  }
}
