import type { CancelTimer } from "./env.ts";
import { Broken, SubscribeError } from "./errors.ts";
import { EventParser } from "./events.ts";
import { Feed } from "./feed.ts";
import type { Sink, Wire } from "./feed.ts";
import { formatCursor, sameCursor } from "./cursor.ts";
import { ending, retryOf, steadyMs } from "./link.ts";
import type { Host } from "./link.ts";
import { flag, need, object, parse, text, whole } from "./message.ts";
import type { Message } from "./message.ts";
import { isOf, LinkEnd, problemOf, refusal, Request } from "./request.ts";
import type { Sub } from "./subscription.ts";
import { Thin } from "./thin.ts";

/** What the bridge's heartbeat is when it does not say. */
const usualHeartbeatMs = 25_000;

/** The shortest time from one poll of a subscription to the next, unless there is more at once. */
const minPollMs = 200;

/** How long a poll may wait for readings. */
const waitS = 25;

/** How long a subscription polls for which there was no connection, before a stream is tried again; each time twice as long, for a try costs
 * it up to timeoutMs. Other tabs are closed some time. */
const starvedMs = 300_000;

/** How many refusals for being too many or too quick a follower takes before the link has to end. */
const maxRefusals = 5;

/** What a follower needs of its link. */
export interface Guide {
  readonly host: Host;
  /** The bridge answered. epoch is that of its journal. */
  answered(epoch: string, heartbeatMs: number): void;
  draining(retryMs: number): void;
  /** A poll may hold its connection for long. */
  readonly mayWait: boolean;
  /** Another follower's stream stands. */
  standsBeside(one: Follower): boolean;
  fail(error: LinkEnd | Broken): void;
}

/** Follows one subscription over HTTP: by a stream of events, or by polling. */
export class Follower {
  #stopped = false;
  #request: Request | null = null;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #wake: (() => void) | null = null;
  #thin: Thin | null = null;
  #heardMs = 0;
  #limitMs = 1.5 * usualHeartbeatMs;
  #refusals = 0;
  #starved = 0; // times in a row that there was no connection for a stream; it polls then
  #againMs = 0; // when a stream is tried again
  #brief = 0; // streams in a row that ended soon

  constructor(
    private readonly guide: Guide,
    readonly sub: Sub,
    readonly wire: Wire,
    public streams: boolean,
  ) {}

  async run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await (this.streams ? this.#stream() : this.#poll());
      } catch (error) {
        if (!this.#stopped && !(await this.#bears(error))) {
          return;
        }
      } finally {
        if (!this.#stopped) { // else the subscription may be somebody else's by now
          this.#thin?.stop();
          this.sub.rest();
        }
      }
    }
  }

  /** Begins anew from the cursor. */
  restart(): void {
    this.#abort();
  }

  stop(): void {
    this.#stopped = true;
    this.#abort();
    this.#thin?.stop();
    this.#wake?.();
    this.sub.rest();
  }

  #abort(): void {
    this.#request?.abort();
    void this.#reader?.cancel().catch(() => {}); // some fetch forget the signal once the head is there; it may have failed already
  }

  /** Reports whether it can go on after an error; else it has told who has to know. */
  async #bears(error: unknown): Promise<boolean> {
    if (error instanceof Refused && this.#refusals++ < maxRefusals) {
      await this.#rest(Math.max(error.why.retryMs, 1_000) * (1 + 0.5 * this.guide.host.env.random())); // not all of them in the same moment
      return true;
    }
    if (error instanceof LinkEnd && this.#request?.aborted) {
      return true; // restart
    }
    if (error instanceof LinkEnd && error.why.kind === "timeout" && this.streams && this.guide.standsBeside(this)) {
      this.streams = false; // streams come through: this one waits in the browser's queue, behind those of other tabs
      this.#againMs = this.guide.host.env.now() + starvedMs * 2 ** this.#starved++;
      return true;
    }
    if (error instanceof SubscribeError) {
      this.#stopped = true;
      this.sub.refuse(error);
      return false;
    }
    if (error instanceof Broken) {
      this.sub.broke();
      this.guide.host.emit("broken", { filter: this.sub.filter, detail: error.message });
    }
    if (error instanceof Broken || error instanceof LinkEnd) {
      this.#stopped = true;
      this.guide.fail(error);
      return false;
    }
    throw error; // a fault of this program
  }

  /** Where updates go: thinned out where not all is wanted. */
  #sink(): Sink {
    this.#thin?.stop();
    const { wire } = this;
    this.#thin = wire.mode === "all" ? null : new Thin(this.sub, wire.everyMs ?? 50, this.guide.host.env);
    return this.#thin ?? this.sub;
  }

  #feed(asked: Sub["cursor"]): Feed {
    return new Feed(this.sub, asked, { mode: "all" }, this.#sink(), null);
  }

  async #open(name: "sse" | "poll", type: string, query: { [name: string]: string | undefined }, timeoutMs: number): Promise<Response> {
    const snapshot = this.sub.options.snapshot ? "true" : undefined;
    this.#request = new Request(this.guide.host);
    const r = await this.#request.send(name, { filter: this.sub.filter, snapshot, ...query }, timeoutMs);
    if (r.status !== 200) {
      const p = await problemOf(this.#request, r, this.guide.host.timeoutMs);
      if ((p.status === 429 || p.status === 503) && p.error !== "draining" && this.#heardMs > 0) {
        throw new Refused(ending("http", `status ${p.status} ${p.error}`.trim(), p.status, p.retryMs));
      }
      throw refusal(p, this.sub.filter);
    }
    if (!isOf(r, type)) {
      throw new LinkEnd(ending("broken", `something else than the bridge answers at /${name}: ${r.headers.get("Content-Type") ?? "without a type"}`));
    }
    return r;
  }

  /** Reads events until the stream ends; then it may be opened anew. */
  async #stream(): Promise<void> {
    const { host } = this.guide;
    const asked = this.sub.cursor;
    const feed = this.#feed(asked);
    let retryMs = 1_000;
    const parser = new EventParser({ event: (name, data) => this.#event(feed, name, data), retry: (ms) => (retryMs = Math.max(0, retryOf(ms))) });
    const r = await this.#open("sse", "text/event-stream", { since: asked ? formatCursor(asked) : undefined }, host.timeoutMs);
    const reader = (r.body as ReadableStream<Uint8Array>).getReader();
    this.#reader = reader;
    const decoder = new TextDecoder();
    const unwatch = this.#watch(() => (feed.stands ? this.#limitMs : host.timeoutMs));
    const beganMs = host.env.now();
    try {
      for (;;) {
        const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined })); // lost or ended: no difference
        if (done || this.#stopped) {
          break;
        }
        this.#hear();
        parser.push(decoder.decode(value, { stream: true }));
      }
    } finally {
      unwatch();
      this.#reader = null;
      void reader.cancel().catch(() => {}); // it may have failed already
    }
    if (this.#stopped || (this.#request?.aborted && feed.stands)) {
      return; // the latter to begin anew
    }
    if (!feed.stands) {
      this.#request = null;
      throw new LinkEnd(ending("timeout", "no event came: something between may hold the stream back"));
    }
    this.#brief = host.env.now() - beganMs > steadyMs ? 0 : this.#brief + 1;
    await this.#rest(retryMs + (this.#brief > 1 ? host.backoffMs(this.#brief - 1) : 0)); // proxies end streams now and then: once says nothing
  }

  #event(feed: Feed, name: string, data: string): void {
    if (this.#stopped) {
      return; // by what came before
    }
    const m = parse(data);
    switch (name) {
      case "subok": {
        const heartbeatMs = whole(m, "heartbeat_ms") ?? usualHeartbeatMs;
        this.#limitMs = 1.5 * heartbeatMs;
        this.guide.answered(text(m, "epoch"), heartbeatMs);
        feed.take(name, m);
        this.#refusals = this.#starved = 0;
        return;
      }
      case "snapshot":
      case "batch":
      case "gap":
        feed.take(name, m);
        return;
      case "draining": {
        const retryMs = retryOf(m["retry_ms"]);
        this.guide.draining(retryMs);
        throw new LinkEnd(ending("closed", "the bridge restarts", 1012, retryMs));
      }
      case "end": {
        const reason = text(m, "reason");
        throw new LinkEnd(reason === "shutdown" ? ending("closed", "the bridge ends", 1001) : ending("token", `token: ${reason}`, reason === "expired" ? 4200 : 4007));
      }
    } // a later version may say more
  }

  /** Ends the request when nothing comes for too long. A timer of a hidden tab may be late, and what came waits behind it: but beginning
   * anew from the cursor does no harm. */
  #watch(limitMs: () => number): CancelTimer {
    const { env } = this.guide.host;
    this.#hear();
    const look = () => {
      if (env.now() - this.#heardMs >= limitMs()) {
        this.restart();
      }
      cancel = env.setTimer(look, limitMs() / 4);
    };
    let cancel = env.setTimer(look, limitMs() / 4);
    return () => cancel();
  }

  #hear(): void {
    this.#heardMs = this.guide.host.env.now();
  }

  /** Polls until something ends it. */
  async #poll(): Promise<void> {
    const { host } = this.guide;
    let feed: Feed | null = null;
    for (;;) {
      const beganMs = host.env.now();
      const asked = feed ? feed.cursor : this.sub.cursor;
      const mayWait = this.guide.mayWait && this.#starved === 0;
      const wait = mayWait && feed ? `${waitS}s` : undefined; // the first says at once that the bridge is there
      const r = await this.#open("poll", "application/json", { since: asked ? formatCursor(asked) : undefined, wait }, host.timeoutMs + (wait ? waitS * 1000 : 0));
      const m = parse(await (this.#request as Request).body(r, host.timeoutMs));
      if (this.#stopped) {
        return;
      }
      this.#refusals = 0;
      this.#hear();
      this.guide.answered(text(m, "epoch"), waitS * 1000);
      feed = this.#answer(m, feed, asked);
      if (!flag(m, "more") || sameCursor(feed.cursor, asked)) {
        const tickMs = this.wire.mode === "all" ? minPollMs : Math.min(Math.max(this.wire.everyMs ?? 0, minPollMs), waitS * 1000);
        await this.#rest(beganMs + (mayWait ? tickMs : Math.max(tickMs, 1_000)) - host.env.now());
      }
      this.streams = this.#starved > 0 && host.env.now() >= this.#againMs;
      if (this.#stopped || this.streams) {
        return;
      }
    }
  }

  /** Takes one answer (PROTOCOL.md section 6.2) and returns the feed that the next one continues. */
  #answer(m: Message, before: Feed | null, asked: Sub["cursor"]): Feed {
    const recovered = flag(m, "recovered");
    const epoch = text(m, "epoch");
    if (recovered && epoch !== asked?.epoch) { // also of an answer without readings
      throw new Broken(`an answer of the epoch ${epoch.slice(0, 40)} to a cursor of ${asked?.epoch ?? "none"}`);
    }
    let feed = before;
    if (feed === null || !recovered) {
      this.#thin?.flush();
      feed = this.#feed(asked);
      feed.take("subok", { epoch, offset: need(m, recovered ? "from" : "to"), recovered, reason: m["reason"] });
      if (!recovered && this.sub.options.snapshot) {
        feed.take("snapshot", { part: 1, parts: 1, readings: m["snapshot"] });
      }
    }
    if (recovered) {
      const gap = m["gap"] === undefined ? null : object(m["gap"]);
      const from = need(m, "from");
      const to = need(gap ?? m, gap ? "from" : "to");
      if (to !== from || !Array.isArray(m["readings"]) || m["readings"].length > 0) {
        feed.take("batch", { epoch, from, to, readings: m["readings"] });
      }
      if (gap) {
        feed.take("gap", { ...gap, epoch });
      }
    }
    return feed;
  }

  /** Waits, unless it is stopped. */
  #rest(ms: number): Promise<void> {
    if (this.#stopped || ms <= 0) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const cancel = this.guide.host.env.setTimer(resolve, ms);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** The bridge has had too many requests; it asks for a wait. Once too often it ends the link. */
class Refused extends LinkEnd {}
