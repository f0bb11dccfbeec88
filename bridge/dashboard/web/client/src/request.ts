import type { CancelTimer } from "./env.ts";
import { PublishError, SubscribeError } from "./errors.ts";
import { ending, retryOf } from "./link.ts";
import type { Ending, Host } from "./link.ts";

/** Ends a link: thrown by what follows a subscription over HTTP. */
export class LinkEnd extends Error {
  override readonly name = "LinkEnd";
  constructor(readonly why: Ending) {
    super(why.reason);
  }
}

/** One request over HTTP. It throws LinkEnd when nobody answers in time, and passes on every status. */
export class Request {
  /** abort was called. */
  aborted = false;
  readonly #controller = new AbortController();
  #late = false;

  constructor(private readonly host: Host) {}

  /** Sends it and returns the answer's head; timeoutMs bounds the wait for that. */
  async send(name: "sse" | "poll" | "publish" | "api/v1/me", query: { readonly [name: string]: string | undefined }, timeoutMs: number, body?: string): Promise<Response> {
    const { env } = this.host;
    const url = this.host.endpoint(name);
    const c = await this.host.credential().catch((error: unknown) => {
      throw new LinkEnd(ending("token", `no token: ${error instanceof Error ? error.message : String(error)}`));
    });
    for (const [key, value] of Object.entries({ ...query, ticket: c.ticket })) {
      if (value !== undefined) {
        url.searchParams.set(key, value);
      }
    }
    const headers: Record<string, string> = {};
    if (c.token !== undefined) {
      headers["Authorization"] = `Bearer ${c.token}`;
    }
    const init: RequestInit = { headers, cache: "no-store", credentials: "include", redirect: "error", signal: this.#controller.signal };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      Object.assign(init, { method: "POST", body });
    }
    const cancel = env.setTimer(() => {
      this.#late = true;
      this.#controller.abort();
    }, timeoutMs);
    try {
      return await (env.fetch as typeof fetch)(url.href, init);
    } catch (error) {
      throw new LinkEnd(this.#late ? ending("timeout", `no answer from /${name} in ${timeoutMs} ms`) : ending("network", `/${name} cannot be reached: ${error instanceof Error ? error.message : String(error)}`));
    } finally {
      cancel();
    }
  }

  /** Returns the whole body of an answer, which may break off or come to a standstill; timeoutMs bounds the wait for that. */
  async body(r: Response, timeoutMs: number): Promise<string> {
    let cancel: CancelTimer | undefined;
    const late = new Promise<never>((_, reject) => {
      cancel = this.host.env.setTimer(() => {
        reject(new LinkEnd(ending("timeout", `the answer came to a standstill for ${timeoutMs} ms`)));
        this.#controller.abort(); // it would keep its connection
      }, timeoutMs);
    });
    const broken = (): never => {
      throw new LinkEnd(ending("network", "the answer broke off"));
    };
    try {
      return await Promise.race([r.text().catch(broken), late]);
    } finally {
      cancel?.();
    }
  }

  /** Ends it: what reads its answer fails. */
  abort(): void {
    this.aborted = true;
    this.#controller.abort();
  }
}

/** What an answer says that is not the expected one. */
export interface Problem {
  readonly status: number;
  readonly error: string;
  readonly detail: string;
  readonly retryMs: number;
}

/** Reads a refusal (PROTOCOL.md sections 5.1 and 6), of whomever it is. One whose body does not come in time is nobody's. */
export async function problemOf(request: Request, r: Response, timeoutMs: number): Promise<Problem> {
  let error = "";
  let detail = "";
  try {
    const m = JSON.parse(await request.body(r, timeoutMs)) as { error?: unknown; detail?: unknown; reason?: unknown } | null;
    error = [m?.error, m?.reason].find((v) => typeof v === "string") as string | undefined ?? "";
    detail = typeof m?.detail === "string" ? m.detail : "";
  } catch {
    // it is not the bridge's
  }
  const seconds = r.headers.get("Retry-After");
  return { status: r.status, error, detail, retryMs: seconds !== null && /^[0-9]+$/.test(seconds) ? retryOf(Number(seconds) * 1000) : -1 };
}

/** Statuses that the bridge gives to nothing this client asks: a proxy says them that knows no such path, or not now. */
const foreign: readonly number[] = [404, 405, 406];

/** Reports whether an answer other than 200 is the bridge's own word. */
export function isOwn(p: Problem): boolean {
  return p.error !== "" && !foreign.includes(p.status);
}

/** Makes of a refusal what is to be thrown: SubscribeError when it is about the filter alone, else LinkEnd. */
export function refusal(p: Problem, filter: string): LinkEnd | SubscribeError {
  if ((p.status === 403 && p.error === "forbidden") || (p.status === 400 && p.error === "filter")) {
    return new SubscribeError(filter, p.error, p.detail);
  }
  if (p.status === 401) {
    return new LinkEnd(ending("token", `token: ${p.error || "refused"}`, 401, p.retryMs));
  }
  const passes = p.status >= 500 || [408, 425, 429].includes(p.status); // whoever says it
  if (!passes && !isOwn(p)) {
    return new LinkEnd(ending("broken", `something else than the bridge answers: status ${p.status}`, p.status, p.retryMs));
  }
  return new LinkEnd(ending("http", `status ${p.status}${p.error && ` ${p.error}`}${p.detail && `: ${p.detail}`}`, p.status, p.retryMs));
}

/** Reports whether an answer is of the kind that the bridge gives, and not of something between. */
export function isOf(r: Response, type: string): boolean {
  return (r.headers.get("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase() === type;
}

/** Sends one command (PROTOCOL.md section 6.3). */
export async function publish(host: Host, topic: string, body: string, timeoutMs: number): Promise<void> {
  const request = new Request(host);
  let r: Response;
  try {
    r = await request.send("publish", {}, timeoutMs, body);
  } catch (error) {
    const why = (error as LinkEnd).why;
    throw new PublishError(topic, why.kind === "timeout" ? "timeout" : why.kind === "token" ? "forbidden" : "lost", why.reason, why.kind === "token" ? "no" : "perhaps");
  }
  if (r.status !== 200) {
    const p = await problemOf(request, r, timeoutMs);
    throw new PublishError(topic, p.error || `status ${p.status}`, p.detail, p.status >= 500 ? "perhaps" : "no");
  }
}
