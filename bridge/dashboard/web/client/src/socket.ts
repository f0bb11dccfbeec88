import * as cbor from "./cbor.ts";
import { parseTimeUs } from "./clock.ts";
import type { CancelTimer, Socket } from "./env.ts";
import { Broken, PublishError, SubscribeError } from "./errors.ts";
import { Feed } from "./feed.ts";
import type { Wire } from "./feed.ts";
import { closedBy, ending, retryOf } from "./link.ts";
import type { Ending, Host, Link } from "./link.ts";
import { Names, need, object, parse, text, toBase64, whole } from "./message.ts";
import type { Message } from "./message.ts";
import { Refresher } from "./refresh.ts";
import { Silence } from "./silence.ts";
import type { Sub } from "./subscription.ts";

/** Bounds of the bridge's heartbeat: less would cut good connections, more would never find dead ones. */
const minHeartbeatMs = 50;
const maxHeartbeatMs = 600_000;

/** How many commands may wait for their answers. */
const maxCommands = 100;

/** When the clock is compared after the welcome, and how often later: quick ones first, of which the best counts. */
const clockAtMs = [50, 250, 1_000, 5_000];
const clockEveryMs = 20_000;

interface Command {
  readonly topic: string;
  readonly done: (error?: PublishError) => void;
  readonly cancel: CancelTimer;
}

/** One WebSocket session (PROTOCOL.md section 2). */
export class SocketLink implements Link {
  readonly transport = "websocket";
  isOpen = false;
  token = "";

  #socket: Socket | null = null;
  #over = false;
  #opened = false; // the handshake is done
  #heardMs: number;
  readonly #silence: Silence;
  #timers = new Set<CancelTimer>();
  #names = new Names();
  #feeds = new Map<number, Feed>();
  #lastId = 0;
  #commands = new Map<number, Command>();
  #pings = new Map<string, number>(); // when they were sent
  #refresher: Refresher | null = null;

  constructor(private readonly host: Host) {
    this.#heardMs = host.env.now();
    this.#silence = new Silence({
      env: host.env,
      after: (ms, run) => this.#after(ms, run),
      ask: (again) => this.#ask(again),
      suspect: () => host.clock.look(),
      away: () => host.away,
      silent: (sinceMs) => host.silent(this, sinceMs),
      gone: () => this.#fail(ending("silent", "nothing was heard of the bridge for too long")),
    }, this.#heardMs);
  }

  start(): void {
    this.host.credential().then(
      (c) => this.#connect(c.token ?? "", c.ticket),
      (error: unknown) => this.#fail(ending("token", `no token: ${error instanceof Error ? error.message : String(error)}`)),
    );
  }

  #connect(token: string, ticket: string | undefined): void {
    if (this.#over) {
      return;
    }
    this.token = token;
    this.#after(this.host.timeoutMs, () =>
      this.#fail(ending("timeout", this.#opened ? "the bridge did not answer hello in time" : "the WebSocket did not open in time")),
    );
    const url = this.host.endpoint("");
    if (ticket !== undefined) {
      url.searchParams.set("ticket", ticket);
    }
    const { WebSocket } = this.host.env;
    const subprotocol = `plumbline.v1.${this.host.encoding}`;
    let socket: Socket;
    try {
      socket = new (WebSocket as NonNullable<typeof WebSocket>)(url.href, [subprotocol]);
    } catch (error) {
      this.#fail(ending("network", `the WebSocket could not be made: ${String(error)}`));
      return;
    }
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.addEventListener("open", () => this.#hello());
    socket.addEventListener("message", (event) => this.#message(event.data));
    socket.addEventListener("error", () => {}); // close follows, and says more
    socket.addEventListener("close", (event) => {
      const lost = event.code === 1005 || event.code === 1006;
      this.#fail(lost && !this.#opened ? ending("network", "the WebSocket could not be opened") : closedBy(event.code, event.reason));
    });
  }

  #hello(): void {
    this.#opened = true;
    this.#heardMs = this.host.env.now();
    this.#pings.set("", this.#heardMs);
    this.#send({ type: "hello", token: this.token || undefined, client: this.host.name, compact: this.host.encoding === "json" || undefined });
  }

  #message(data: unknown): void {
    if (this.#over) {
      return;
    }
    this.#heardMs = this.host.env.now();
    this.#silence.heard(this.#heardMs);
    try {
      this.#handle(this.#decode(data));
    } catch (error) {
      if (!(error instanceof Broken)) {
        throw error;
      }
      this.#fail(ending("broken", error.message));
    }
  }

  #decode(data: unknown): Message {
    if (this.host.encoding === "json" && typeof data === "string") {
      return parse(data);
    }
    if (this.host.encoding === "cbor" && data instanceof ArrayBuffer) {
      return object(cbor.decode(new Uint8Array(data)));
    }
    throw new Broken(`a ${typeof data === "string" ? "text" : "binary"} message in ${this.host.encoding}`);
  }

  #handle(m: Message): void {
    const kind = text(m, "type");
    if (!this.isOpen) {
      if (kind !== "welcome") {
        throw new Broken(`${kind.slice(0, 40) || "a message without type"} before welcome`);
      }
      this.#welcome(m);
      return;
    }
    switch (kind) {
      case "batch":
      case "subok":
      case "snapshot":
      case "gap":
        return this.#feed(kind, m);
      case "topics":
        return this.#names.add(m);
      case "heartbeat":
        return this.#heartbeat(m);
      case "suberr":
        return this.#refused(m);
      case "pong":
        return this.#pong(m);
      case "pubok":
      case "puberr":
        return this.#answered(m);
      case "auth-expiring":
        return this.#expiring(m);
      case "authok":
        return this.host.emit("refreshed", { expires: text(m, "expires") });
      case "draining":
        return this.host.draining(this, retryOf(m["retry_ms"]));
    } // a later version may say more
  }

  #welcome(m: Message): void {
    const { env, clock } = this.host;
    const sentMs = this.#pings.get("") as number;
    const timeUs = parseTimeUs(text(m, "time"));
    const heartbeatMs = Math.min(Math.max(need(m, "heartbeat_ms"), minHeartbeatMs), maxHeartbeatMs);
    if (this.host.encoding === "json" && m["compact"] !== true) {
      throw new Broken("welcome without compact, which hello asked for: the bridge is older than this client");
    }
    this.#pings.clear();
    this.isOpen = true;
    this.#cancelTimers();
    if (Number.isFinite(timeUs)) {
      clock.add(sentMs, env.now(), timeUs);
    }
    this.#silence.watch(heartbeatMs);
    this.#compare(0);
    const session = { id: text(m, "session"), node: text(m, "node"), epoch: text(m, "epoch"), expires: text(m, "expires"), heartbeatMs };
    this.host.opened(this, session);
    this.align();
  }

  align(): void {
    if (!this.isOpen || this.#over) {
      return;
    }
    const known = new Set<Sub>();
    for (const [id, feed] of this.#feeds) {
      const want = this.host.subs.has(feed.sub) ? feed.sub.wire(this.host.away) : null;
      if (want !== null && sameWire(want, feed.wire)) {
        known.add(feed.sub);
        continue;
      }
      this.#feeds.delete(id);
      feed.sub.pause();
      this.#send({ type: "unsub", id });
    }
    for (const sub of this.host.subs) {
      const wire = sub.wire(this.host.away);
      if (!known.has(sub) && wire !== null) {
        this.#subscribe(sub, wire);
      }
    }
  }

  #subscribe(sub: Sub, wire: Wire): void {
    const id = ++this.#lastId;
    const since = sub.cursor;
    this.#feeds.set(id, new Feed(sub, since, wire, sub, this.#names));
    const every = wire.mode === "all" ? null : wire.everyMs;
    this.#send({
      type: "sub",
      id,
      filter: sub.filter,
      mode: wire.mode,
      tick_ms: wire.mode === "latest" ? (every ?? undefined) : undefined,
      every_ms: wire.mode === "sample" ? (every ?? undefined) : undefined,
      snapshot: sub.options.snapshot || undefined,
      since: since ? { epoch: since.epoch, offset: since.offset } : undefined,
    });
  }

  #feed(kind: string, m: Message): void {
    const feed = this.#feeds.get(whole(m, "id") ?? -1);
    if (feed) { // else it was unsubscribed, and the bridge does not know yet
      this.#hold(feed, () => feed.take(kind, m));
    }
  }

  /** Does what may throw Broken and notes whose fault it is. */
  #hold(feed: Feed, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof Broken) {
        feed.sub.broke();
        this.host.emit("broken", { filter: feed.sub.filter, detail: error.message });
      }
      throw error;
    }
  }

  #heartbeat(m: Message): void {
    for (const [id, feed] of this.#feeds) {
      this.#hold(feed, () => feed.audit(id, m));
      if (feed.stands) {
        feed.sub.checked();
      }
    }
  }

  #refused(m: Message): void {
    const id = whole(m, "id") ?? -1;
    const feed = this.#feeds.get(id);
    if (feed) {
      this.#feeds.delete(id);
      feed.sub.refuse(new SubscribeError(feed.sub.filter, text(m, "reason"), text(m, "detail")));
    }
  }

  #expiring(m: Message): void {
    this.host.emit("expiring", { expires: text(m, "expires") });
    if (this.token === "") { // a ticket or cookie cannot be renewed in a session
      return;
    }
    this.#refresher ??= new Refresher(this.host, this.token, (token) => {
      this.#refresher = null;
      this.token = token;
      this.#send({ type: "auth", token });
    });
  }

  publish(topic: string, payload: string | Uint8Array, qos: 0 | 1, timeoutMs: number): Promise<void> {
    if (this.#commands.size >= maxCommands) {
      return Promise.reject(new PublishError(topic, "busy", `${maxCommands} commands wait for their answers`, "no"));
    }
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const cancel = this.#after(timeoutMs, () => this.#settle(id, new PublishError(topic, "timeout", `no answer in ${timeoutMs} ms`, "perhaps")));
      this.#commands.set(id, { topic, cancel, done: (error) => (error ? reject(error) : resolve()) });
      const coded = typeof payload !== "string" && this.host.encoding === "json";
      this.#send({ type: "pub", id, topic, qos, payload: coded ? undefined : payload, base64: coded ? toBase64(payload) : undefined });
    });
  }

  #answered(m: Message): void {
    const id = whole(m, "id") ?? -1;
    const command = this.#commands.get(id);
    if (command) {
      const no = text(m, "type") === "puberr";
      const reason = text(m, "reason");
      this.#settle(id, no ? new PublishError(command.topic, reason, text(m, "detail"), reason === "refused" ? "perhaps" : "no") : undefined);
    }
  }

  #settle(id: number, error?: PublishError): void {
    const command = this.#commands.get(id);
    if (command) {
      this.#commands.delete(id);
      command.cancel();
      this.#timers.delete(command.cancel);
      command.done(error);
    }
  }

  /** Compares the clocks now and again. */
  #compare(n: number): void {
    this.#after(clockAtMs[n] ?? clockEveryMs, () => {
      this.#ping();
      this.#compare(n + 1);
    });
  }

  #ping(): void {
    if (this.#pings.size < 8) {
      const id = `c${++this.#lastId}`;
      this.#pings.set(id, this.host.env.now());
      this.#send({ type: "ping", id });
    }
  }

  #pong(m: Message): void {
    const id = text(m, "id");
    const sentMs = this.#pings.get(id);
    const timeUs = whole(m, "time_us");
    this.#pings.delete(id);
    if (sentMs !== undefined && timeUs !== null) {
      this.host.clock.add(sentMs, this.#heardMs, timeUs);
      this.host.emit("clock", this.host.clock);
    }
  }

  probe(): void {
    if (this.isOpen && !this.#over) {
      this.#silence.probe();
    }
  }

  #ask(again: boolean): void {
    if (again) {
      this.#pings.clear();
    }
    this.#ping();
  }

  #send(m: { readonly [name: string]: cbor.Sendable | undefined }): void {
    if (this.#over || this.#socket === null) {
      return;
    }
    try {
      this.#socket.send(this.host.encoding === "json" ? JSON.stringify(m) : cbor.encode(m as cbor.Sendable));
    } catch {
      // it is closing: close follows
    }
  }

  /** Runs something later, unless the link is over by then. */
  #after(ms: number, run: () => void): CancelTimer {
    const cancel = this.host.env.setTimer(() => {
      this.#timers.delete(cancel);
      run();
    }, ms);
    this.#timers.add(cancel);
    return cancel;
  }

  #cancelTimers(): void {
    for (const cancel of this.#timers) {
      cancel();
    }
    this.#timers.clear();
  }

  #fail(why: Ending): void {
    if (!this.#over) {
      this.close();
      this.host.ended(this, why);
    }
  }

  close(): void {
    if (this.#over) {
      return;
    }
    this.#over = true;
    this.isOpen = false;
    this.#refresher?.stop();
    this.#cancelTimers();
    for (const feed of this.#feeds.values()) {
      feed.sub.rest();
    }
    for (const [id, command] of [...this.#commands]) {
      this.#settle(id, new PublishError(command.topic, "lost", "the connection ended before the answer", "perhaps"));
    }
    try {
      this.#socket?.close(1000);
    } catch {
      // it was never opened
    }
  }
}

function sameWire(a: Wire, b: Wire): boolean {
  return a.mode === b.mode && (a.mode === "all" || b.mode === "all" || a.everyMs === b.everyMs);
}
