// A world for unit tests: time that moves only when told, sockets and answers by script, a page that can be hidden.

import { connect } from "../src/index.ts";
import type { Client, Env, Options, SocketMaker, State, Subscription, SubscribeOptions, Update } from "../src/index.ts";

type Command = Record<string, unknown> & { type: string };

/** The bridge's end of a scripted WebSocket. */
export class Peer {
  binaryType = "blob";
  bufferedAmount = 0;
  readonly heard: Command[] = [];
  readonly raw: unknown[] = [];
  closed = false;
  readonly #listeners = new Map<string, Set<(event: never) => void>>();

  constructor(
    readonly url: string,
    readonly protocols: string[],
    private readonly answersPings: () => boolean = () => false,
  ) {}

  get protocol(): string {
    return this.protocols[0] ?? "";
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    const all = this.#listeners.get(type) ?? new Set();
    all.add(listener);
    this.#listeners.set(type, all);
  }

  send(data: unknown): void {
    this.raw.push(data);
    if (typeof data === "string") {
      const command = JSON.parse(data) as Command;
      this.heard.push(command);
      if (command.type === "ping" && this.answersPings()) {
        queueMicrotask(() => this.say({ type: "pong", id: command["id"] }));
      }
    }
  }

  close(): void {
    this.closed = true;
  }

  #fire(type: string, event: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) {
      listener(event as never);
    }
  }

  /** The handshake is done. */
  open(): void {
    this.#fire("open", {});
  }

  /** Says messages: objects as JSON, the rest as it is. */
  say(...messages: unknown[]): void {
    for (const m of messages) {
      this.#fire("message", { data: typeof m === "string" || m instanceof ArrayBuffer ? m : JSON.stringify(m) });
    }
  }

  /** Takes hello and says welcome. */
  welcome(more: Record<string, unknown> = {}): this {
    this.open();
    this.say({ type: "welcome", session: "s", protocol: 1, node: "n", epoch: "E", head: 9, heartbeat_ms: 20_000, compact: true, expires: "2030-01-01T00:00:00Z", ...more });
    return this;
  }

  bye(code: number, reason: object | string = ""): void {
    this.#fire("close", { code, reason: typeof reason === "string" ? reason : JSON.stringify(reason) });
  }

  /** The connection is gone without a close frame. */
  cut(): void {
    this.bye(1006);
  }

  commands(type: string): Command[] {
    return this.heard.filter((m) => m.type === type);
  }

  /** The last command of a type. */
  last(type: string): Command {
    const all = this.commands(type);
    const last = all[all.length - 1];
    if (last === undefined) {
      throw new Error(`no ${type} was heard, only ${JSON.stringify(this.heard)}`);
    }
    return last;
  }
}

class Target {
  visibilityState = "visible";
  readonly #listeners = new Map<string, Set<(event: Event) => void>>();

  addEventListener(type: string, listener: (event: Event) => void): void {
    const all = this.#listeners.get(type) ?? new Set();
    all.add(listener);
    this.#listeners.set(type, all);
  }

  removeEventListener(type: string, listener: (event: Event) => void): void {
    this.#listeners.get(type)?.delete(listener);
  }

  fire(type: string, more: object = {}): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      listener({ type, ...more } as Event);
    }
  }

  get count(): number {
    return [...this.#listeners.values()].reduce((sum, all) => sum + all.size, 0);
  }
}

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export interface Asked {
  readonly url: URL;
  readonly init: RequestInit;
}

/** The surroundings of one test. random is 0.5 and minBackoffMs 1,000: waits are 500, 1,000, 2,000 ms and so on. */
export class World {
  now = 1_000;
  /** What the machine's clock is wrong by, against the test's time. */
  wallMs = 1_700_000_000_000;
  readonly peers: Peer[] = [];
  readonly asked: Asked[] = [];
  readonly errors: unknown[] = [];
  readonly document = new Target();
  readonly window = new Target();
  isOnline = true;
  /** Peers answer pings. */
  pongs = false;
  /** Answers requests; the default: nobody is there. */
  answer: (asked: Asked) => Response | Promise<Response> = () => Promise.reject(new TypeError("fetch failed"));
  readonly #timers = new Set<Timer>();

  env(): Partial<Env> {
    const world = this;
    return {
      WebSocket: class extends Peer {
        constructor(url: string, protocols: string[]) {
          super(url, protocols, () => world.pongs);
          world.peers.push(this);
        }
      } as unknown as SocketMaker,
      fetch: (async (input: string, init: RequestInit) => {
        const asked = { url: new URL(input), init };
        this.asked.push(asked);
        const aborted = new Promise<never>((_, reject) => init.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError"))));
        return Promise.race([Promise.resolve(this.answer(asked)), aborted]);
      }) as typeof fetch,
      now: () => this.now,
      timeOrigin: 0,
      wall: () => this.now + this.wallMs,
      random: () => 0.5,
      setTimer: (run, ms) => {
        const timer = { at: this.now + Math.max(0, ms), run };
        this.#timers.add(timer);
        return () => void this.#timers.delete(timer);
      },
      document: this.document,
      window: this.window,
      online: () => this.isOnline,
      base: "https://bridge.example/",
      report: (error) => void this.errors.push(error),
    };
  }

  connect(more: Partial<Options> = {}): Client {
    return connect({ url: "/ws", token: () => "t", minBackoffMs: 1_000, maxBackoffMs: 60_000, env: this.env(), ...more });
  }

  get timers(): number {
    return this.#timers.size;
  }

  get peer(): Peer {
    const last = this.peers[this.peers.length - 1];
    if (last === undefined) {
      throw new Error("nobody connected");
    }
    return last;
  }

  /** Lets promises settle. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Moves time on, timer by timer. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    await this.settle();
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) {
        break;
      }
      this.#timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.run();
      await this.settle();
    }
    this.now = end;
    await this.settle();
  }

  /** Time passes and no timer fires until it is over: a throttled tab, a stopped process. */
  async stall(ms: number): Promise<void> {
    this.now += ms;
    await this.advance(0);
  }

  /** The machine sleeps: the monotonic clock stands still meanwhile. */
  sleep(ms: number): void {
    this.wallMs += ms;
  }

  hide(hidden: boolean): void {
    this.document.visibilityState = hidden ? "hidden" : "visible";
    this.document.fire("visibilitychange");
  }
}

/** Subscribes and keeps the updates. */
export function follow(client: Client, filter: string, options: SubscribeOptions = {}): { sub: Subscription; updates: Update[] } {
  const updates: Update[] = [];
  return { sub: client.subscribe(filter, options, (u) => updates.push(u)), updates };
}

/** Keeps the states. */
export function states(client: Client): State[] {
  const list: State[] = [];
  client.on("state", (s) => list.push(s));
  return list;
}

/** Spells what the bridge says. Readings have the offsets given, times 1,000 µs apart and the topic "a". */
export const bridge = {
  fresh: (id: number, offset = 9) => ({ type: "subok", id, filter: "#", epoch: "E", offset, recovered: false, reason: "no-cursor" }),
  resumed: (id: number, offset: number) => ({ type: "subok", id, filter: "#", epoch: "E", offset, recovered: true, reason: "" }),
  topics: { type: "topics", topics: [[1, "a"]] },
  batch: (id: number, from: number, to: number, ...offsets: number[]) => ({
    type: "batch", id, from, to, ...(offsets.length > 0 ? { t: 5_000 } : {}),
    readings: offsets.map((o, i) => [o - (i === 0 ? from : (offsets[i - 1] as number)), i === 0 ? 0 : 1_000, 1, 1, String(o)]),
  }),
  heartbeat: (id: number, cursor: number, delivered: number, gaps = 0, more: object = {}) => ({
    type: "heartbeat", epoch: "E", head: 100, cursors: { [id]: cursor }, delivered: { [id]: delivered }, gaps: { [id]: gaps }, ...more,
  }),
};

/** Returns what is short about updates: kind, cursor, offsets. */
export function brief(updates: readonly Update[]): string[] {
  return updates.map((u) => {
    const offsets = u.readings.map((r) => r.offset).join(",");
    const mark = u.kind === "start" ? (u.recovered ? "+" : "") : u.kind === "gap" ? `${u.reason}${u.count ?? "?"}` : u.kind === "data" && u.conflated ? `-${u.conflated}` : "";
    return `${u.kind}${mark && ` ${mark}`}@${u.cursor ? u.cursor.offset : "half"}${offsets && ` ${offsets}`}`;
  });
}
