// What the bridge's history knows of a series, by its API (bridge/README.md, "History").

import type { CoreEnv } from "./env.ts";

export interface HistoryOptions {
  /** Where the routes are, such as /api/v1/history. */
  readonly base: string;
  /** Header fields with the credential, when it is no cookie. */
  readonly headers?: () => HeadersInit | Promise<HeadersInit>;
}

/** Statistics of one series per step, and up to where in the journal they hold everything. */
export interface Aggregate {
  readonly epoch: string;
  readonly offset: number;
  readonly fromUs: number; // rounded outward to whole steps
  readonly toUs: number;
  readonly keptFromUs: number; // what is older has expired at this resolution; −Infinity: nothing has
  readonly gaps: readonly HistoryGap[];
  readonly gapsMore: boolean;
  readonly stepUs: number;
  readonly rows: readonly Row[];
}

export interface Row {
  readonly t: number;
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly last: number;
}

export interface HistoryGap {
  readonly fromUs: number;
  readonly toUs: number;
  readonly count: number; // 0: not known
  readonly reason: string;
}

export interface Question {
  readonly topic: string;
  readonly field: string;
  readonly unit?: string | undefined; // needed only where the field was stored with several
  readonly fromUs: number;
  readonly toUs: number;
  readonly stepUs: number; // whole milliseconds
}

/** HistoryError says in its message, for people, why there is no answer. */
export class HistoryError extends Error {
  readonly status: number; // 0: no answer came
  readonly parameter: string;

  constructor(message: string, status: number, parameter = "") {
    super(message);
    this.name = "HistoryError";
    this.status = status;
    this.parameter = parameter;
  }
}

/** The bridge takes half of history.api.maxConcurrent, by default 2, from one subject at a time. */
const atOnce = 2;
const tries = 6;
const timeoutMs = 15_000;
/** Coarser statistics that reach back further. */
const rollups = [60e6, 3600e6];

interface Waiting {
  run: () => void;
}

/** History asks, not more than the bridge answers at a time, and again when it is busy. */
export class History {
  private readonly o: HistoryOptions;
  private readonly env: CoreEnv;
  private busy = 0;
  private readonly queue: Waiting[] = [];

  constructor(o: HistoryOptions, env: CoreEnv) {
    this.o = o;
    this.env = env;
  }

  /**
   * load answers the question by statistics of the asked step and, before the time since which they are kept, by coarser ones: the
   * newest first. It rejects with a HistoryError, or an AbortError of the signal.
   */
  async load(q: Question, signal: AbortSignal): Promise<Aggregate[]> {
    const first = await this.aggregate(q, signal);
    const found = [first];
    let kept = first.keptFromUs;
    for (const rollup of rollups) {
      if (kept <= q.fromUs) break;
      const stepUs = Math.ceil(q.stepUs / rollup) * rollup;
      const last = found[found.length - 1] as Aggregate;
      if (stepUs === last.stepUs) continue; // it was answered from this rollup already
      const toUs = Math.min(Math.ceil(kept / stepUs) * stepUs, last.toUs);
      const more = await this.aggregate({ ...q, toUs, stepUs }, signal);
      found[found.length - 1] = { ...last, fromUs: more.toUs, rows: last.rows.filter((r) => r.t >= more.toUs) };
      found.push(more);
      kept = more.keptFromUs;
    }
    return found;
  }

  private async aggregate(q: Question, signal: AbortSignal): Promise<Aggregate> {
    const p = new URLSearchParams({
      topic: q.topic,
      field: q.field,
      from: String(Math.floor(q.fromUs / 1000)),
      to: String(Math.ceil(q.toUs / 1000)),
      step: `${Math.round(q.stepUs / 1000)}ms`,
      functions: "count,min,max,sum,last",
    });
    if (q.unit !== undefined) p.set("unit", q.unit);
    return parseAggregate(await this.ask(`${this.o.base}/aggregate?${p}`, signal), q.stepUs);
  }

  private async ask(url: string, signal: AbortSignal): Promise<unknown> {
    for (let n = 1; ; n++) {
      await this.enter(signal);
      let again: number;
      try {
        const { body, problem, retryAfterS } = await this.fetch(url, signal);
        if (signal.aborted) throw abortError();
        if (problem === null) return body;
        if ((problem.status !== 429 && problem.status !== 503) || n === tries) throw problem;
        again = Math.min(retryAfterS || 1, 30) * 1000;
      } catch (err) {
        if (signal.aborted || err instanceof HistoryError || n === tries) throw asHistoryError(err, signal);
        again = 500 * n; // the bridge is away: it may be back soon
      } finally {
        this.leave();
      }
      await this.pause(again * (0.75 + this.env.random() / 2), signal);
    }
  }

  /** fetch asks once and reads the whole answer: a credential or a body can stall as well as a head, and would hold its slot for ever. */
  private async fetch(url: string, signal: AbortSignal): Promise<{ body: unknown; problem: HistoryError | null; retryAfterS: number }> {
    const own = new AbortController();
    const stopped = new Promise<never>((_, reject) => own.signal.addEventListener("abort", () => reject(abortError())));
    const stop = (): void => own.abort();
    signal.addEventListener("abort", stop);
    const timer = this.env.after(timeoutMs, stop);
    try {
      const headers = new Headers(await Promise.race([this.o.headers?.(), stopped]));
      headers.set("Accept", "application/json");
      const r = await this.env.fetch(url, { headers, signal: own.signal, credentials: "same-origin" });
      if (r.ok) return { body: await r.json(), problem: null, retryAfterS: 0 };
      return { body: null, problem: await problemOf(r), retryAfterS: Number(r.headers.get("Retry-After")) };
    } finally {
      this.env.cancel(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  private enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(abortError());
    if (this.busy < atOnce) {
      this.busy++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const w: Waiting = {
        run: () => {
          signal.removeEventListener("abort", gone);
          this.busy++;
          resolve();
        },
      };
      const gone = (): void => {
        const at = this.queue.indexOf(w);
        if (at >= 0) this.queue.splice(at, 1);
        reject(abortError());
      };
      signal.addEventListener("abort", gone, { once: true });
      this.queue.push(w);
    });
  }

  private leave(): void {
    this.busy--;
    this.queue.shift()?.run();
  }

  private pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.env.after(ms, () => {
        signal.removeEventListener("abort", gone);
        resolve();
      });
      const gone = (): void => {
        this.env.cancel(timer);
        reject(abortError());
      };
      signal.addEventListener("abort", gone, { once: true });
    });
  }
}

function abortError(): Error {
  return new DOMException("the view has moved on", "AbortError");
}

function asHistoryError(err: unknown, signal: AbortSignal): unknown {
  if (signal.aborted || err instanceof HistoryError) return err;
  if (err instanceof DOMException && err.name === "AbortError") return new HistoryError(`history: no answer within ${timeoutMs / 1000} s`, 0);
  return new HistoryError(`history: the bridge cannot be reached: ${err instanceof Error ? err.message : String(err)}`, 0);
}

/** problemOf reads an answer of RFC 9457. */
async function problemOf(r: Response): Promise<HistoryError> {
  let detail = "";
  let parameter = "";
  try {
    const p = (await r.json()) as { detail?: unknown; parameter?: unknown };
    if (typeof p.detail === "string") detail = p.detail.slice(0, 300);
    if (typeof p.parameter === "string") parameter = p.parameter;
  } catch {
    detail = r.statusText;
  }
  return new HistoryError(`history: ${detail || "refused"} (${r.status})`, r.status, parameter);
}

/** parseAggregate checks an answer's shape, so that a stranger's JSON ends here and not in a chart. */
export function parseAggregate(v: unknown, stepUs: number): Aggregate {
  const a = record(v);
  const cursor = record(a["cursor"]);
  if (typeof cursor["epoch"] !== "string" || !Array.isArray(a["buckets"]) || !Array.isArray(a["gaps"])) throw new HistoryError("history: the answer is none of the bridge's", 200);
  const rows: Row[] = [];
  for (const x of a["buckets"]) {
    const b = record(x);
    const row = { t: number(b["t"]), count: number(b["count"]), min: number(b["min"]), max: number(b["max"]), sum: number(b["sum"]), last: number(b["last"]) };
    if (row.t === row.t && row.count > 0 && row.min === row.min && row.max === row.max) rows.push(row);
  }
  const gaps = a["gaps"].map((x): HistoryGap => {
    const g = record(x);
    return { fromUs: number(g["begin"]), toUs: number(g["end"]), count: number(g["count"]) || 0, reason: String(g["reason"] ?? "") };
  });
  const kept = number(a["kept_from"]);
  return {
    epoch: cursor["epoch"],
    offset: number(cursor["offset"]),
    fromUs: number(a["from"]),
    toUs: number(a["to"]),
    keptFromUs: kept === kept ? kept : -Infinity,
    gaps,
    gapsMore: a["gaps_more"] === true,
    stepUs,
    rows,
  };
}

function record(v: unknown): Record<string, unknown> {
  return typeof v === "object" && v !== null ? (v as Record<string, unknown>) : {};
}

function number(v: unknown): number {
  return typeof v === "number" ? v : NaN;
}
