import { Estimate } from "./clock.ts";
import { surroundings } from "./env.ts";
import type { CancelTimer, Env } from "./env.ts";
import { PublishError } from "./errors.ts";
import { HttpLink } from "./http.ts";
import { advise, ending, mostBrief, steadyMs } from "./link.ts";
import type { Credential, Ending, Host, Link } from "./link.ts";
import { watchPage } from "./page.ts";
import { sentence, Status } from "./status.ts";
import { SocketLink } from "./socket.ts";
import { Sub } from "./subscription.ts";
import type { Owner } from "./subscription.ts";
import { reach, Ways } from "./ways.ts";
import type { Client, Encoding, Events, Options, SessionInfo, State, SubscribeOptions, Subscription, Update } from "./types.ts";

/** After how long a refused client without a source of tokens asks again when somebody looks at the page. */
const askAgainMs = 30_000;

/** The shortest time between attempts that events of the page cause. */
const hurryMs = 1_000;

/** The one implementation of Client: it makes one link after the other and outlives them. */
export class Keeper implements Client, Host, Owner {
  readonly env: Env;
  readonly timeoutMs: number;
  readonly name: string | undefined;
  readonly encoding: Encoding;
  readonly clock: Estimate;
  readonly subs = new Set<Sub>();
  away = false;

  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #url: URL;
  readonly #status: Status;
  readonly #ways: Ways;
  readonly #unwatch: () => void;
  #link: Link | null = null;
  #trial: Link | null = null; // of WebSocket, beside a fallback
  #cancelTrial: CancelTimer | null = null;
  #cancelWait: CancelTimer | null = null;
  #beganMs = 0;
  #openedMs = 0;
  #welcomed = false; // by the present link
  #failures = 0; // attempts in a row that did not heal
  #brief = 0; // sessions in a row that ended soon after their welcome
  #drainMs = -1; // wait that draining asked for
  #notBeforeMs = 0; // the bridge asked for a wait up to then
  #token = ""; // the last one given out
  #refused: string | null = null; // the token that the bridge refused, "" for a ticket, until a welcome

  constructor(private readonly options: Options) {
    this.env = surroundings(options.env);
    this.timeoutMs = options.timeoutMs ?? 10_000;
    this.#minMs = options.minBackoffMs ?? 250;
    this.#maxMs = options.maxBackoffMs ?? 30_000;
    this.name = options.name;
    this.encoding = options.encoding ?? "json";
    this.#url = urlOf(options, this.env);
    this.#ways = new Ways(options, this.env);
    check(options, this.#minMs, this.#maxMs);
    this.clock = new Estimate(this.env);
    this.#status = new Status(this.env);
    this.#unwatch = watchPage(this.env, {
      seen: (hidden) => this.#status.set({ hidden }),
      away: (away) => this.#setAway(away),
      online: (online) => this.#setOnline(online),
      wake: () => this.#wake(),
      frozen: () => this.#freeze(),
    });
    this.#connect();
  }

  get state(): State {
    return this.#status.state;
  }

  get subscriptions(): ReadonlySet<Subscription> {
    return this.subs;
  }

  on<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): () => void {
    return this.#status.on(name, listener);
  }

  emit<K extends keyof Events>(name: K, event: Events[K]): void {
    this.#status.emit(name, event);
  }

  subscribe(filter: string, options: SubscribeOptions, onUpdate: (update: Update) => void): Subscription {
    if (this.state.phase === "closed") {
      throw new Error("plumbline-client: subscribe: the client is closed");
    }
    const sub = new Sub(filter, options, this, onUpdate);
    this.subs.add(sub);
    this.#link?.align();
    return sub;
  }

  drop(sub: Sub): void {
    this.subs.delete(sub);
    this.#link?.align();
  }

  publish(topic: string, payload: string | Uint8Array, options: { qos?: 0 | 1; timeoutMs?: number } = {}): Promise<void> {
    if (!this.#link?.isOpen) {
      return Promise.reject(new PublishError(topic, "offline", this.state.reason, "no"));
    }
    return this.#link.publish(topic, payload, options.qos ?? 0, options.timeoutMs ?? 10_000);
  }

  retry(): void {
    if (this.state.phase === "waiting" || this.state.phase === "refused") {
      this.#failures = 0;
      this.#refused = null;
      this.#connect();
    }
  }

  close(): void {
    if (this.state.phase === "closed") {
      return;
    }
    this.#unwatch();
    this.#drop();
    this.#status.set({ phase: "closed", transport: null, session: null, draining: false, silentSinceMs: null, nextTryMs: null, reason: "closed by this page", cause: null });
    for (const sub of [...this.subs]) {
      sub.close();
    }
  }

  timeUs(): number {
    return this.clock.now();
  }

  nowMs(): number {
    return this.env.now();
  }

  report(error: unknown): void {
    this.env.report(error);
  }

  async credential(): Promise<Credential> {
    let cancel: CancelTimer | undefined;
    const late = new Promise<never>((_, reject) => {
      cancel = this.env.setTimer(() => reject(new Error(`none in ${this.timeoutMs} ms`)), this.timeoutMs);
    });
    try {
      return await Promise.race([this.#askCredential(), late]);
    } finally {
      cancel?.();
    }
  }

  async #askCredential(): Promise<Credential> {
    const { token, ticket } = this.options;
    if (token) {
      const got = await token();
      if (typeof got !== "string" || got === "") {
        throw new Error("Options.token returned no token");
      }
      if (got === this.#refused) {
        throw new Error("Options.token has no other than the one that was refused");
      }
      this.#token = got;
      return { token: got };
    }
    return ticket ? { ticket: await ticket() } : {};
  }

  endpoint(name: "" | "sse" | "poll" | "publish" | "api/v1/me"): URL {
    const url = new URL(name, this.#url); // "" is the URL itself
    const secure = this.#url.protocol === "wss:" || this.#url.protocol === "https:";
    url.protocol = (name === "" ? "ws" : "http") + (secure ? "s:" : ":");
    return url;
  }

  backoffMs(n: number): number {
    return this.env.random() * Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(n - 1, 30));
  }

  #connect(): void {
    this.#drop();
    this.#beganMs = this.env.now();
    this.#welcomed = false;
    this.#drainMs = -1;
    this.#notBeforeMs = 0;
    const transport = this.#ways.present;
    this.#link = transport === "websocket" ? new SocketLink(this) : new HttpLink(this, transport);
    this.#status.set({ phase: "connecting", transport, fallback: this.#ways.fallback, nextTryMs: null, draining: false, silentSinceMs: null });
    this.#link.start();
  }

  /** Ends what is under way. */
  #drop(): void {
    this.#cancelWait?.();
    this.#cancelTrial?.();
    this.#trial?.close();
    this.#link?.close();
    this.#cancelWait = this.#cancelTrial = this.#trial = this.#link = null;
  }

  opened(link: Link, session: SessionInfo): void {
    if (link === this.#trial) {
      const before = this.#link;
      this.#trial = null;
      this.#link = link;
      this.#beganMs = this.env.now();
      before?.close();
    }
    this.#welcomed = true;
    this.#openedMs = this.env.now();
    this.#refused = null;
    this.#ways.opened(link.transport);
    this.#status.set({
      phase: "open", transport: link.transport, fallback: this.#ways.fallback, reason: "", cause: null, attempt: 0, nextTryMs: null, session, draining: false,
      silentSinceMs: null,
    });
    this.emit("clock", this.clock);
    this.#tryAgain();
  }

  /** Tries WebSocket beside a fallback, now and again. */
  #tryAgain(): void {
    const waitMs = this.#ways.trialMs();
    if (waitMs === null || this.#trial !== null) {
      return;
    }
    this.#cancelTrial?.();
    this.#cancelTrial = this.env.setTimer(() => {
      this.#trial = new SocketLink(this);
      this.#trial.start();
    }, waitMs);
  }

  ended(link: Link, why: Ending): void {
    if (link === this.#trial) {
      this.#trial = null;
      this.#tryAgain();
      return;
    }
    if (link !== this.#link) {
      return;
    }
    this.#drop();
    if (!this.#welcomed && this.#ways.doubts(link.transport, why)) {
      void this.#findOut(why);
      return;
    }
    this.#ways.failed(link.transport, this.#welcomed, why);
    this.#goOn(why);
  }

  /** Asks over plain HTTP whether the bridge is there: a page learns nothing of why a WebSocket did not open. */
  async #findOut(why: Ending): Promise<void> {
    const began = this.#beganMs;
    const answer = await reach(this);
    if (this.#beganMs !== began || this.state.phase !== "connecting") {
      return; // somebody was quicker
    }
    this.#ways.answered(answer.reached, why);
    this.#goOn(answer.why ?? why);
  }

  draining(link: Link, retryMs: number): void {
    if (link === this.#link) {
      this.#drainMs = retryMs;
      this.#status.set({ draining: true });
    }
  }

  silent(link: Link, sinceMs: number | null): void {
    if (link === this.#link) {
      this.#status.set({ silentSinceMs: sinceMs });
    }
  }

  /** Decides what follows a link that ended. */
  #goOn(why: Ending): void {
    const { token, ticket } = this.options;
    let to = advise(why);
    if (why.code === 4007 && (token || ticket)) {
      to = "retoken"; // not with this one
    }
    if (to === "stop" || (to === "retoken" && !token && !ticket)) {
      this.#rest("refused", why, null);
      return;
    }
    if (to === "retoken") {
      const again = this.#refused !== null;
      this.#refused = this.#token;
      if (again) { // two in a row: the source has no good one yet. One alone may be a ticket that waited too long, or of a bridge that has restarted
        this.#rest("refused", why, this.#slowMs());
        return;
      }
    }
    if (this.#welcomed) {
      this.#heal(to === "grow", why.code === 1012 || this.#drainMs >= 0);
    }
    this.#failures++;
    if (why.kind === "token" && this.#refused !== null && to === "again") {
      this.#rest("refused", why, this.#slowMs());
      return;
    }
    const retryMs = why.retryMs >= 0 ? why.retryMs : this.#drainMs;
    this.#rest("waiting", why, this.#waitMs(to === "atOnce", retryMs));
    this.#notBeforeMs = this.env.now() + retryMs;
  }

  /** Takes back from the wait what a session has healed, which has just ended: the attempts before it, and if it lasted, all. overload: not
   * even the attempts; planned: the bridge said that it would restart. */
  #heal(overload: boolean, planned: boolean): void {
    const lastedMs = this.env.now() - this.#openedMs;
    if (planned || lastedMs > (overload ? this.#maxMs : steadyMs)) {
      this.#failures = this.#brief = 0;
    } else if (!overload) {
      this.#failures = Math.min(this.#brief++, mostBrief);
    }
  }

  #waitMs(atOnce: boolean, retryMs: number): number {
    if (this.#failures === 1 && atOnce) {
      return 0;
    }
    if (this.#failures === 1 && retryMs >= 0) {
      return retryMs; // the bridge has spread it
    }
    return Math.max(retryMs, 0) + this.backoffMs(this.#failures);
  }

  #slowMs(): number {
    return this.#maxMs * (0.5 + 0.5 * this.env.random());
  }

  #rest(phase: "waiting" | "refused", why: Ending, waitMs: number | null): void {
    this.#welcomed = false;
    if (waitMs !== null) {
      this.#cancelWait = this.env.setTimer(() => this.#connect(), waitMs);
    }
    this.#status.set({
      phase, transport: this.#ways.present, fallback: this.#ways.fallback, session: null, draining: false, silentSinceMs: null, reason: sentence(why),
      cause: { kind: why.kind, code: why.code, reason: why.reason }, attempt: this.#failures, nextTryMs: waitMs === null ? null : this.env.now() + waitMs,
    });
  }

  #setAway(away: boolean): void {
    this.away = away;
    this.#link?.align();
  }

  #setOnline(online: boolean): void {
    this.#status.set({ online });
    if (online) {
      this.#wake();
    } else {
      this.#link?.probe();
    }
  }

  /** Somebody looks at the page again, the network is back, or the machine has slept. */
  #wake(): void {
    const sinceMs = this.env.now() - this.#beganMs;
    const askedMs = this.#notBeforeMs - this.env.now();
    const aside = this.state.nextTryMs === null; // the page was put aside, and no timer runs
    switch (this.state.phase) {
      case "open":
        this.clock.look();
        this.#link?.probe();
        return;
      case "waiting":
        if (askedMs > 0) { // by the bridge, of everybody: it is kept, whoever looks
          if (aside) {
            this.#rest("waiting", ending("closed", "the bridge has asked for a wait"), askedMs);
          }
        } else if (sinceMs >= hurryMs || aside) {
          this.#connect();
        }
        return;
      case "refused":
        if (sinceMs >= askAgainMs && this.state.cause?.kind === "token") {
          this.retry();
        }
    }
  }

  /** The browser puts the page aside, as it is, for a while: a connection would keep it from that. */
  #freeze(): void {
    if (this.state.phase !== "closed" && this.state.phase !== "refused") {
      this.#drop();
      this.#rest("waiting", ending("page", "the browser has put the page aside"), null);
    }
  }
}

function urlOf(options: Options, env: Env): URL {
  let url: URL;
  try {
    url = new URL(String(options.url), env.base || undefined);
  } catch {
    throw new TypeError(`plumbline-client: url: ${JSON.stringify(String(options.url))} is no URL: want wss://HOST:PORT/ws, or /ws on the bridge's own page`);
  }
  if (!["ws:", "wss:", "http:", "https:"].includes(url.protocol) || url.username !== "" || url.hash !== "" || url.search !== "") {
    throw new TypeError("plumbline-client: url: want ws(s):// or http(s)://HOST:PORT/PATH without user, query or fragment: the token comes from token()");
  }
  return url;
}

function check(o: Options, minMs: number, maxMs: number): void {
  if (o.token && o.ticket) {
    throw new TypeError("plumbline-client: token and ticket are both given: one is enough");
  }
  if (!(minMs > 0) || !(maxMs >= minMs)) {
    throw new TypeError(`plumbline-client: minBackoffMs ${minMs} and maxBackoffMs ${maxMs}: want 0 < min ≤ max`);
  }
  if (o.encoding !== undefined && o.encoding !== "json" && o.encoding !== "cbor") {
    throw new TypeError(`plumbline-client: encoding ${JSON.stringify(o.encoding)}: want json or cbor`);
  }
}
