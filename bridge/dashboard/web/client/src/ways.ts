import type { Env } from "./env.ts";
import { ending } from "./link.ts";
import type { Ending, Host } from "./link.ts";
import { isOf, isOwn, LinkEnd, problemOf, refusal, Request } from "./request.ts";
import type { Fallback, Options, Transport } from "./types.ts";

const all: readonly Transport[] = ["websocket", "sse", "poll"];

/** How often WebSocket may fail in a row, while the bridge answers over HTTP, before the next way is taken: once may be a restart. */
const maxBlocked = 2;

/** The first trial of WebSocket beside a fallback comes soon, in case it was a restart after all. */
const firstTrialMs = 3_000;

/** How long the wait between trials may become, as a multiple of the first. */
const maxTrialFactor = 5;

/** Chooses among the ways to the bridge: the first, unless it is found to be closed. */
export class Ways {
  readonly #order: readonly Transport[];
  readonly #againMs: number;
  readonly #env: Env;
  #index = 0;
  #blocked = 0;
  #trials = 0;
  #fallback: Fallback | null = null;
  readonly #lacking: string;

  constructor(options: Options, env: Env) {
    const wanted = options.transports ?? all;
    const unknown = wanted.find((t) => !all.includes(t));
    if (unknown !== undefined || wanted.length === 0) {
      throw new TypeError(`plumbline-client: transports: ${JSON.stringify(unknown ?? [])}: want some of ${all.join(", ")}`);
    }
    this.#order = wanted.filter((t) => (t === "websocket" ? env.WebSocket : env.fetch) !== null);
    if (this.#order.length === 0) {
      throw new TypeError(`plumbline-client: this program has nothing for ${wanted.join(", ")}: give WebSocket or fetch in env (Node.js before 22 has no WebSocket)`);
    }
    this.#env = env;
    this.#againMs = options.websocketAgainMs ?? 120_000;
    this.#lacking = this.#order[0] === wanted[0] ? "" : "this browser has no WebSocket";
    this.#fall();
  }

  get present(): Transport {
    return this.#order[this.#index] as Transport;
  }

  get fallback(): Fallback | null {
    return this.#fallback;
  }

  /** Reports whether the end says nothing of whether the bridge is there: then the caller finds out and calls answered. */
  doubts(transport: Transport, why: Ending): boolean {
    return transport === "websocket" && this.#order.length > 1 && (why.kind === "network" || why.kind === "timeout" || why.kind === "broken");
  }

  /** Takes whether the bridge answered over HTTP after WebSocket failed with why. */
  answered(reached: boolean, why: Ending): void {
    this.#blocked = reached ? this.#blocked + 1 : 0;
    if (this.#blocked >= maxBlocked) {
      this.#to(1, `${why.reason}, though the bridge answers over HTTP: something between, such as a proxy, lets no WebSocket through`);
    }
  }

  /** Takes the end of any other link. */
  failed(transport: Transport, welcomed: boolean, why: Ending): void {
    if (welcomed || transport === "websocket" || why.kind === "token") {
      return;
    }
    const elsewhere = why.kind === "timeout" || why.kind === "broken" || (why.kind === "http" && why.code === 501);
    if (elsewhere && this.#index + 1 < this.#order.length) {
      this.#to(this.#index + 1, `${this.#fallback?.because ?? ""}${this.#fallback ? "; " : ""}${transport}: ${why.reason}`);
    } else if (why.kind !== "http") { // a refusal is of the bridge, wherever it is asked
      this.#to(0, ""); // the bridge may be away: begin anew
    }
  }

  opened(transport: Transport): void {
    this.#blocked = 0;
    if (transport === this.#order[0]) {
      this.#trials = 0;
      this.#to(0, "");
    }
  }

  /** Returns the wait before WebSocket is tried beside the present way, null = not at all. */
  trialMs(): number | null {
    if (this.#index === 0 || this.#order[0] !== "websocket") {
      return null;
    }
    const n = this.#trials++;
    const base = n === 0 ? Math.min(firstTrialMs, this.#againMs) : this.#againMs * Math.min(2 ** (n - 1), maxTrialFactor);
    return base * (0.75 + 0.5 * this.#env.random());
  }

  #to(index: number, because: string): void {
    this.#index = index;
    this.#blocked = 0;
    this.#fallback = because === "" ? null : { because, sinceMs: this.#env.now() };
    if (index === 0) {
      this.#fall();
    }
  }

  #fall(): void {
    if (this.#lacking !== "") {
      this.#fallback = { because: this.#lacking, sinceMs: this.#fallback?.sinceMs ?? this.#env.now() };
    }
  }
}

/** Asks the bridge something over HTTP. reached: it answered itself, and not a proxy that cannot reach it; why: what a WebSocket would have
 * been refused for, or who else answered. */
export async function reach(host: Host): Promise<{ reached: boolean; why: Ending | null }> {
  try {
    const request = new Request(host);
    const r = await request.send("api/v1/me", {}, host.timeoutMs);
    if (r.status === 200 && isOf(r, "application/json")) {
      return { reached: true, why: null };
    }
    const p = await problemOf(request, r, host.timeoutMs);
    if (!isOwn(p) && p.status !== 401) { // a proxy may ask for the credential itself
      return { reached: false, why: ending("network", `something else answers in its place: status ${p.status}`, p.status, p.retryMs) };
    }
    const no = refusal(p, "");
    const telling = [401, 429, 503].includes(p.status) || (p.status === 403 && p.error === "origin");
    return { reached: true, why: telling && no instanceof LinkEnd ? no.why : null };
  } catch {
    return { reached: false, why: null };
  }
}
