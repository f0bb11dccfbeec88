// Who is signed in. The session is a cookie that no script can read; the token passes through once and is not kept.

export interface Grants { readonly live: readonly string[]; readonly snapshot: readonly string[]; readonly history: readonly string[]; readonly publish: readonly string[] }

export interface Me {
  readonly subject: string;
  readonly tenant?: string;
  readonly expires: string; // RFC 3339
  readonly grants: Grants;
  readonly node: string;
  readonly version: string;
  readonly websocket: string; // path of the endpoint
  readonly history: boolean;
  readonly commands: boolean;
  readonly layouts: boolean; // whether this bridge keeps layouts
  readonly time_us: number;
}

// Refused is an answer of the bridge that is no success: what it says, for a human, and when to come back.
export class Refused extends Error {
  readonly status: number;
  readonly reason: string; // a word
  constructor(status: number, reason: string, detail = "") {
    super(sayReason(status, reason, detail));
    this.status = status;
    this.reason = reason;
  }

  // nobody: the bridge knows nobody by what the browser has shown, which no waiting mends.
  get nobody(): boolean { return this.status === 401 || this.status === 403; }
}

const said: Readonly<Record<string, string>> = {
  expired: "The token has expired. Get a new one and sign in with it.",
  revoked: "The session was ended: by signing out, here or elsewhere, or by the operator.",
  missing: "Nobody is signed in here, or the session's time is over.",
  code: "The code is used, unknown or too old: one lives for five minutes. Get another.",
  signature: "The token was not signed by a key that this bridge believes.",
  origin: "The bridge does not take this page's address as its own: the operator adds it to viewers.origins.",
};

export function sayReason(status: number, reason: string, detail = ""): string {
  if (reason === "other") return "Something else than the bridge answers here: a sign-in page of the network perhaps, or a proxy.";
  if (status === 0) return "The bridge does not answer. It may be restarting, or the network is down.";
  if (status === 503) return "The bridge is restarting, or has too many viewers at the moment.";
  if (status === 429) return "Too many requests, or too many wrong tokens from this address lately: wait a minute.";
  if (Object.hasOwn(said, reason)) return said[reason] as string;
  const why = [detail, reason].find((t) => t !== "") ?? "";
  if (status === 401 || status === 403) return `The bridge does not take this token${why === "" ? "." : `: ${why}`}`;
  return `The bridge answers ${status}${why === "" ? "." : `: ${why}`}`;
}

// call asks the bridge; every failure is a Refused.
export async function call(path: string, init?: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { cache: "no-store", ...init });
  } catch {
    throw new Refused(0, "");
  }
  if (answer.ok) return answer;
  const { reason, detail } = await reasonOf(answer);
  throw new Refused(answer.status, reason, detail);
}

// reasonOf reads RFC 9457 problems and {"error":…}; whatever else stands there says nothing.
export async function reasonOf(answer: Response): Promise<{ reason: string; detail: string }> {
  try {
    const body = JSON.parse((await answer.text()).slice(0, 4096)) as Record<string, unknown>;
    const text = (key: string): string => typeof body[key] === "string" ? body[key].slice(0, 500) : "";
    return { reason: text("reason") || text("error"), detail: text("detail") || text("title") };
  } catch { /* not JSON */ }
  return { reason: "", detail: "" };
}

// whoAmI believes nothing but an answer of the bridge: networks that want a sign-in of their own answer anything with 200.
export async function whoAmI(): Promise<Me> {
  const answer = await call("/api/v1/me");
  const me: unknown = await answer.json().catch(() => null);
  if (!isMe(me)) throw new Refused(0, "other");
  return me;
}

export function isMe(v: unknown): v is Me {
  const me = (v ?? {}) as Record<string, unknown>, grants = (me["grants"] ?? {}) as Record<string, unknown>;
  return ["subject", "expires", "node", "version", "websocket"].every((k) => typeof me[k] === "string") && ["live", "snapshot", "history", "publish"].every((k) => Array.isArray(grants[k]));
}

const codeShape = /^[0-9a-z]{5}[\s-]?[0-9a-z]{5}$/i;

// signIn exchanges a token, or a short code that stands for one, for the session's cookie.
export async function signIn(secret: string): Promise<Me> {
  const body = JSON.stringify(codeShape.test(secret) ? { code: secret } : { token: secret });
  await call("/session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  try {
    return await whoAmI();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) throw new Refused(401, "not-kept", "the browser did not keep the session: over plain HTTP some do not, so use https");
    throw error;
  }
}

// newCode makes a code by which another screen signs in as the same subject, once.
export async function newCode(): Promise<{ code: string; expires_in: number }> {
  return await (await call("/session/code", { method: "POST" })).json() as { code: string; expires_in: number };
}

export async function signOut(): Promise<void> {
  await call("/session", { method: "DELETE" });
}

// tokenFault finds what cannot be a token before it is sent anywhere; "" when it may be one.
export function tokenFault(text: string): string {
  const t = text.trim();
  if (t === "") return "Enter a code or paste a token.";
  if (codeShape.test(t)) return "";
  if (/\s/.test(t)) return "There is a space or line end within the token: copy it whole, in one line.";
  const parts = t.split(".");
  if (parts.length !== 3 || parts.some((p) => !/^[A-Za-z0-9_-]+$/.test(p))) return "This is neither a code, such as K7QM2-RXV9D, nor a token, which has three parts with dots between.";
  return t.length > 3800 ? `The token has ${t.length} characters; a session takes 3,800.` : "";
}

// Tabs tell each other: who signs in or out in one has done so in all.
export type Word = "in" | "out";
export function tabs(heard: (word: Word) => void): { tell(word: Word): void } {
  const channel = new BroadcastChannel("plumbline-session");
  channel.addEventListener("message", (e: MessageEvent<unknown>) => { if (e.data === "in" || e.data === "out") heard(e.data); });
  return { tell: (word) => channel.postMessage(word) };
}
