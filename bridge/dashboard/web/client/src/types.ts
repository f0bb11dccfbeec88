// What users of the client see. Times named …Us are microseconds since 1970 by the bridge's clock unless they say otherwise, those
// named …Ms are milliseconds of env.now(), which is performance.now().

import type { Cursor } from "./cursor.ts";
import type { Env } from "./env.ts";
import type { SubscribeError } from "./errors.ts";
import type { Reading } from "./reading.ts";

/** How messages are spelled on a WebSocket: compact JSON in text messages, or CBOR in binary ones (PROTOCOL.md section 7). */
export type Encoding = "json" | "cbor";

/** A way to the bridge. */
export type Transport = "websocket" | "sse" | "poll";

/** Configures a Client. url is required; what is left out has a useful default. */
export interface Options {
  /** The bridge's WebSocket endpoint, ws(s) or http(s), or relative to the page such as "/ws". It holds no token. /sse, /poll and
   * /publish are looked for beside it. */
  url: string | URL;
  /** Returns a good token. It is asked before every connection and when the bridge says that the token will expire; it may return
   * the same token as long as that is good. Left out: the session cookie (PROTOCOL.md section 5.1) is all there is. */
  token?: () => string | Promise<string>;
  /** Returns a ticket for one use, asked for before every connection and every request. Not together with token. */
  ticket?: () => string | Promise<string>;
  /** Tells the bridge's operator who this is. */
  name?: string;
  /** Of WebSocket; default "json". */
  encoding?: Encoding;
  /** What may be tried, in this order; default websocket, sse, poll. */
  transports?: readonly Transport[];
  /** The wait before the n-th attempt in a row is a random part of minBackoffMs × 2^(n-1), at most of maxBackoffMs (full jitter).
   * Defaults 250 and 30,000. */
  minBackoffMs?: number;
  maxBackoffMs?: number;
  /** Bounds opening a connection up to the welcome, and each request; default 10,000. */
  timeoutMs?: number;
  /** How long a fallback is kept before WebSocket is tried again beside it; default 120,000, doubled after each failure up to
   * five times as long. */
  websocketAgainMs?: number;
  /** Where WebSocket, fetch, clocks, timers, document and window come from; default: the global ones. For tests and for Node.js. */
  env?: Partial<Env>;
}

/** What the Client does at the moment.
 * - connecting: an attempt is under way
 * - open: the bridge said welcome
 * - waiting: the next attempt comes at nextTryMs
 * - refused: going on unchanged would be refused again (credential, fault of this program); retry() after a new sign-in
 * - closed: close() was called */
export type Phase = "connecting" | "open" | "waiting" | "refused" | "closed";

/** Why a connection ended or did not come to be. */
export interface Cause {
  readonly kind: "network" | "timeout" | "silent" | "closed" | "http" | "token" | "broken" | "page";
  /** The close code of kind "closed", the status of kind "http", or that something else than the bridge answered with; of "token" either of the first two, if the bridge has said it. */
  readonly code: number | null;
  /** The bridge's word or this client's, such as "token: expired". */
  readonly reason: string;
}

/** A session at the bridge. What the fallbacks cannot know is empty. */
export interface SessionInfo {
  readonly id: string;
  readonly node: string;
  readonly epoch: string;
  /** End of the token, RFC 3339. */
  readonly expires: string;
  readonly heartbeatMs: number;
}

/** Why the present transport is not the first of Options.transports. */
export interface Fallback {
  readonly because: string;
  readonly sinceMs: number;
}

/** The state of the connection: a frozen value, a new one after each change. */
export interface State {
  readonly phase: Phase;
  /** In use or being tried; null when there is none. */
  readonly transport: Transport | null;
  readonly fallback: Fallback | null;
  /** One sentence for people: why it is not open. "" when it is. */
  readonly reason: string;
  /** The same for programs; null when open and before the first attempt. */
  readonly cause: Cause | null;
  /** Attempts in a row that did not heal; 0 after a welcome. */
  readonly attempt: number;
  readonly nextTryMs: number | null;
  readonly session: SessionInfo | null;
  /** The bridge said that it is about to restart. */
  readonly draining: boolean;
  /** Of an open WebSocket: since when nothing has been heard of the bridge, which was asked and does not answer: what is shown may be old. null:
   * it is heard. */
  readonly silentSinceMs: number | null;
  /** Of the page: nobody looks at it. */
  readonly hidden: boolean;
  /** What the browser believes of the network. */
  readonly online: boolean;
}

/** What to give of a topic that changes often (PROTOCOL.md section 2.2). */
export type Mode = "all" | "latest" | "sample";

/** Says what a Subscription gets. */
export interface SubscribeOptions {
  /** Default "all". */
  mode?: Mode;
  /** Of mode latest: 10 to 60,000; default: the bridge's. */
  tickMs?: number;
  /** Of mode sample, needed there: 10 to 3,600,000. */
  everyMs?: number;
  /** The last value of every topic first, unless since is recovered. */
  snapshot?: boolean;
  /** Where an earlier subscription ended, or its text form EPOCH:OFFSET. Left out: from now on. */
  since?: Cursor | string;
  /** What a hidden tab gets:
   * - live: the same
   * - slow: of each topic the newest once every hiddenTickMs; what is left out is counted as conflated
   * - pause: nothing, and everything since the cursor on return
   * Default: live in mode all, slow in the others. No cursor is lost by any. */
  hidden?: "live" | "slow" | "pause";
  /** Of hidden "slow": 10 to 60,000; default 5,000. */
  hiddenTickMs?: number;
}

interface Step {
  /** What the page has once it has taken this update. Stored together with the update's effects it makes each reading take effect
   * once. null while a snapshot is incomplete. */
  readonly cursor: Cursor | null;
  readonly readings: readonly Reading[];
}

/** The subscription stands, at first and again after each reconnect. */
export interface StartUpdate extends Step {
  readonly kind: "start";
  /** Everything after the earlier cursor will come. */
  readonly recovered: boolean;
  /** Why not (PROTOCOL.md section 2.2). */
  readonly reason: string;
}

/** Last values of topics: state, not news. */
export interface SnapshotUpdate extends Step {
  readonly kind: "snapshot";
  /** It is complete now. */
  readonly last: boolean;
}

/** New readings in journal order, or none: then only the cursor moved. They are all that the filter let through of the journal's
 * interval (from, to], less what is conflated. */
export interface DataUpdate extends Step {
  readonly kind: "data";
  readonly cursor: Cursor;
  readonly from: number;
  readonly to: number;
  /** Readings that newer ones of their topics replaced. */
  readonly conflated: number;
  /** How many were replaced comes with the next update that is not open, if no gap comes first. */
  readonly open: boolean;
}

/** The journal from from to to, to included, cannot be delivered. */
export interface GapUpdate extends Step {
  readonly kind: "gap";
  readonly from: Cursor;
  readonly to: Cursor;
  /** Entries of the journal in it, matching or not; null = not known, since from is of another journal. */
  readonly count: number | null;
  /** The bridge's (PROTOCOL.md sections 2.2 and 2.4), or "snapshot": the connection broke within a snapshot, and a newer one stands
   * for what came between. */
  readonly reason: string;
}

/** The subscription has ended: refused, or no longer covered by the grants. The last update. */
export interface EndUpdate extends Step {
  readonly kind: "end";
  readonly error: SubscribeError;
}

/** One step of a Subscription. The client keeps none: no queue. */
export type Update = StartUpdate | SnapshotUpdate | DataUpdate | GapUpdate | EndUpdate;

/** What a Subscription can prove: every entry of (from, to] that the filter let through was delivered or conflated. */
export interface Proof {
  /** Readings of data updates. */
  readonly delivered: number;
  readonly conflated: number;
  /** Declared gaps, and the entries in them as far as they are known. */
  readonly gaps: number;
  readonly missing: number;
  /** The size of some gap cannot be known: another journal began. */
  readonly unknown: boolean;
  /** Times that the bridge proved to go on where it had ended. */
  readonly resumes: number;
  /** Times that something undeclared was missing or did not add up, and was fetched again. */
  readonly broken: number;
  /** No gap since the beginning. */
  readonly complete: boolean;
  /** Where the unbroken chain begins, behind the last gap, and when that was; how far it reaches. */
  readonly from: Cursor | null;
  readonly fromTimeUs: number | null;
  readonly to: Cursor | null;
  /** When the bridge's own account last agreed; WebSocket only. */
  readonly checkedMs: number | null;
}

/** A stream of updates. */
export interface Subscription {
  readonly filter: string;
  readonly options: Readonly<SubscribeOptions>;
  /** Where it stands; null before the first place is known and while a snapshot is incomplete. */
  readonly cursor: Cursor | null;
  /** It stands in the present session: the bridge answered, and it is not paused. */
  readonly live: boolean;
  /** A frozen value of this moment. */
  readonly proof: Proof;
  /** Ends it. Nothing follows, no update either. */
  close(): void;
}

/** A connection to a bridge that is kept. */
export interface Client {
  readonly state: State;
  readonly clock: Clock;
  readonly subscriptions: ReadonlySet<Subscription>;
  /** Calls listener at each event of that name; what it returns ends that. */
  on<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): () => void;
  /** Asks for the messages that match an MQTT topic filter. onUpdate is called in order, one call at a time, and should return
   * soon; a refusal comes as an update of kind "end". Options that make no sense throw a RangeError here. */
  subscribe(filter: string, options: SubscribeOptions, onUpdate: (update: Update) => void): Subscription;
  /** Sends a command and waits for the bridge's answer, 10 s unless timeoutMs says otherwise. It is never sent twice. Rejects with a
   * PublishError. */
  publish(topic: string, payload: string | Uint8Array, options?: { qos?: 0 | 1; timeoutMs?: number }): Promise<void>;
  /** Tries at once: after a new sign-in, or because somebody asks. Does nothing while it is open or connecting. */
  retry(): void;
  /** Ends it for good; idempotent. */
  close(): void;
}

/** What happens to a Client. */
export interface Events {
  state: State;
  clock: Clock;
  /** The token ends soon. Without Options.token it is the page that has to sign in again. */
  expiring: { readonly expires: string };
  refreshed: { readonly expires: string };
  /** Something undeclared was missing or did not add up; it is fetched again from the last good cursor. */
  broken: { readonly filter: string; readonly detail: string };
}

/** The bridge's clock, seen from here. */
export interface Clock {
  /** There is an estimate. */
  readonly known: boolean;
  /** Bridge's clock less this machine's monotonic one, which is performance.timeOrigin + performance.now(). */
  readonly offsetUs: number;
  /** The estimate is no farther than this from the truth: half the best round trip, resolution and drift since. Infinity when not known. */
  readonly errorUs: number;
  /** Of the exchange that the estimate comes from. */
  readonly rttUs: number;
  /** How wrong Date.now() is: bridge less this machine. 0 when not known. */
  readonly wallErrorUs: number;
  /** The bridge's time now; this machine's when not known. */
  now(): number;
  /** The bridge's time at a stamp of performance.now(). */
  at(performanceMs: number): number;
}

/** Who may look, and at what, as the bridge answers GET /api/v1/me. */
export interface Me {
  readonly subject: string;
  readonly tenant: string;
  readonly expires: string;
  readonly grants: Readonly<Record<"live" | "snapshot" | "history" | "publish", readonly string[]>>;
  readonly node: string;
  readonly version: string;
}
