import type { Estimate } from "./clock.ts";
import type { Env } from "./env.ts";
import type { Encoding, Cause, Events, SessionInfo, Transport } from "./types.ts";
import type { Sub } from "./subscription.ts";

/** How long a session or stream lasts at least to show that the bridge is well: one that always ends right behind its beginning is not. */
export const steadyMs = 5_000;

/** How many brief sessions in a row make the wait grow: more do not, for each came of a bridge that served, and somebody waits for a value. */
export const mostBrief = 3;

/** How a link ended, or why it did not come to be. */
export interface Ending extends Cause {
  /** The wait that the bridge asks for; -1 = none. */
  readonly retryMs: number;
}

/** What a link needs of its client. */
export interface Host {
  readonly env: Env;
  readonly timeoutMs: number;
  readonly name: string | undefined;
  readonly encoding: Encoding;
  readonly clock: Estimate;
  readonly subs: ReadonlySet<Sub>;
  /** The page is hidden, and has been for a while. */
  readonly away: boolean;
  /** Returns the credential for a connection: a token, a ticket, or none when there is only the cookie. Rejects when there is none to
   * be had. */
  credential(): Promise<Credential>;
  /** Returns the URL of an endpoint beside Options.url: "" is that itself. */
  endpoint(name: "" | "sse" | "poll" | "publish" | "api/v1/me"): URL;
  /** The wait before the n-th attempt in a row. */
  backoffMs(n: number): number;
  opened(link: Link, session: SessionInfo): void;
  /** Called once, unless close ended the link. */
  ended(link: Link, ending: Ending): void;
  draining(link: Link, retryMs: number): void;
  /** Nothing is heard of the bridge since then, though it was asked; null: it is heard again. */
  silent(link: Link, sinceMs: number | null): void;
  emit<K extends keyof Events>(name: K, event: Events[K]): void;
}

/** What a connection brings along. */
export interface Credential {
  readonly token?: string;
  readonly ticket?: string;
}

/** One way to the bridge, for as long as it lasts. */
export interface Link {
  readonly transport: Transport;
  readonly isOpen: boolean;
  /** The token in use, "" when there is none. */
  readonly token: string;
  start(): void;
  /** Brings what the bridge knows of subscriptions to what the client has. */
  align(): void;
  /** Finds out whether the bridge is still there: after sleep, or when the network changed. */
  probe(): void;
  publish(topic: string, payload: string | Uint8Array, qos: 0 | 1, timeoutMs: number): Promise<void>;
  /** Ends it without a word to the client. */
  close(): void;
}

/** The longest wait that the bridge may ask for, so that a mistake there is not for ever. */
const maxRetryMs = 600_000;

/** Returns a wait that the bridge asked for, -1 when it is none. */
export function retryOf(value: unknown): number {
  return typeof value === "number" && value >= 0 ? Math.min(value, maxRetryMs) : -1;
}

/** Makes an Ending. */
export function ending(kind: Cause["kind"], reason: string, code: number | null = null, retryMs = -1): Ending {
  return { kind, reason, code, retryMs };
}

/** Reads the reason of a close frame (PROTOCOL.md section 4). */
export function closedBy(code: number, text: string): Ending {
  let reason = text;
  let retryMs = -1;
  try {
    const m = JSON.parse(text) as { reason?: unknown; retry_ms?: unknown } | null;
    reason = typeof m?.reason === "string" ? m.reason : text;
    retryMs = retryOf(m?.retry_ms);
  } catch {
    // text of somebody else
  }
  if (code === 1005 || code === 1006) { // no close frame came
    return ending("network", "the connection was lost");
  }
  return ending(code === 4002 || code === 4007 || code === 4200 ? "token" : "closed", reason, code, retryMs);
}

/** What to do after the end of a link.
 * - again: connect anew after a wait
 * - atOnce: connect anew without one
 * - grow: after a wait that grows, welcome or not
 * - retoken: connect anew if there is another token
 * - stop: connecting unchanged would end the same way */
export type Advice = "again" | "atOnce" | "grow" | "retoken" | "stop";

/** Says what to do: for codes PROTOCOL.md section 4, for statuses section 1 and RFC 9110. */
export function advise(e: Ending): Advice {
  const code = e.code ?? 0;
  switch (e.kind) {
    case "broken":
      return "grow";
    case "http":
      return [408, 425, 429].includes(code) || code >= 500 ? "again" : "stop";
    case "token":
      return code === 4200 ? "atOnce" : code === 4002 || code === 401 ? "retoken" : code === 4007 ? "stop" : "again";
    case "closed":
      return adviseCode(code);
  }
  return "again";
}

function adviseCode(code: number): Advice {
  if ([1002, 1003, 1007, 1009].includes(code) || (code >= 4000 && code < 4100)) {
    return "stop";
  }
  if ([1008, 1011, 1013].includes(code) || (code >= 4100 && code < 4200)) {
    return "grow";
  }
  return code >= 4200 && code < 4300 ? "atOnce" : "again";
}
