import { Broken } from "./errors.ts";
import type { CancelTimer } from "./env.ts";
import { Follower } from "./follower.ts";
import type { Guide } from "./follower.ts";
import { ending } from "./link.ts";
import type { Ending, Host, Link } from "./link.ts";
import { parse, toBase64, whole } from "./message.ts";
import { LinkEnd, problemOf, publish, refusal, Request } from "./request.ts";
import type { Sub } from "./subscription.ts";

/** How many requests may hold a connection: browsers hold six to a server that speaks HTTP/1.1, for all tabs, and some are needed for the rest. */
const maxHeld = 2;

/** How often the clocks are compared. */
const clockEveryMs = 20_000;

/** How often is looked whether the machine has slept. */
const lookEveryMs = 5_000;

/** The longest wait for an answer to a probe. */
const maxProbeMs = 5_000;

/** The ways without WebSocket: one request for each subscription (PROTOCOL.md section 6). */
export class HttpLink implements Link, Guide {
  isOpen = false;
  readonly token = ""; // each request brings its own
  #over = false;
  #followers = new Map<Sub, Follower>();
  #clockTimer: CancelTimer | null = null;
  #lookTimer: CancelTimer | null = null;
  #probing = false;

  constructor(
    readonly host: Host,
    readonly transport: "sse" | "poll",
  ) {}

  start(): void {
    this.#follow();
    if (this.#followers.size === 0) { // nobody else finds out whether the bridge is there
      void this.#ask(this.host.timeoutMs).then((why) => (why ? this.#end(why) : this.answered("", 0)));
    }
  }

  get mayWait(): boolean {
    return this.#followers.size <= maxHeld;
  }

  standsBeside(one: Follower): boolean {
    return [...this.#followers.values()].some((f) => f !== one && f.streams && f.sub.live);
  }

  align(): void {
    if (!this.#over) {
      this.#follow();
    }
  }

  #follow(): void {
    const { subs, away } = this.host;
    for (const [sub, follower] of this.#followers) {
      const want = subs.has(sub) ? sub.wire(away) : null;
      if (want === null || JSON.stringify(want) !== JSON.stringify(follower.wire)) {
        this.#followers.delete(sub);
        follower.stop();
      }
    }
    for (const sub of subs) {
      const wire = sub.wire(away);
      if (wire !== null && !this.#followers.has(sub)) {
        const follower = new Follower(this, sub, wire, this.transport === "sse" && this.#followers.size < maxHeld);
        this.#followers.set(sub, follower);
        void follower.run();
      }
    }
  }

  answered(epoch: string, heartbeatMs: number): void {
    if (this.isOpen || this.#over) {
      return;
    }
    this.isOpen = true;
    this.#compare();
    this.#look();
    this.host.opened(this, { id: "", node: "", epoch, expires: "", heartbeatMs });
  }

  draining(retryMs: number): void {
    this.host.draining(this, retryMs);
  }

  fail(error: LinkEnd | Broken): void {
    this.#end(error instanceof LinkEnd ? error.why : ending("broken", error.message));
  }

  /** Compares the clocks now and again, for as long as the bridge tells the time. */
  #compare(): void {
    void this.#ask(this.host.timeoutMs).then(() => {
      if (!this.#over && this.host.clock.known) {
        this.#clockTimer = this.host.env.setTimer(() => this.#compare(), clockEveryMs);
      }
    });
  }

  /** Looks now and again whether the machine has slept: what was on its way then may never come. */
  #look(): void {
    this.#lookTimer = this.host.env.setTimer(() => {
      if (this.host.clock.look()) {
        this.probe();
      }
      if (!this.#over) {
        this.#look();
      }
    }, lookEveryMs);
  }

  /** Asks the bridge for who we are, and what time it is. It returns why that is of no use, null when the bridge answered, in whatever
   * way: an older one does not know the question. */
  async #ask(timeoutMs: number): Promise<Ending | null> {
    const { env, clock } = this.host;
    try {
      const request = new Request(this.host);
      const sentMs = env.now();
      const r = await request.send("api/v1/me", {}, timeoutMs);
      const receivedMs = env.now();
      if (r.status !== 200) {
        const no = refusal(await problemOf(request, r, timeoutMs), "");
        return no instanceof LinkEnd && r.status !== 404 ? no.why : null;
      }
      const timeUs = whole(parse(await request.body(r, timeoutMs)), "time_us");
      if (timeUs !== null) {
        clock.add(sentMs, receivedMs, timeUs);
        this.host.emit("clock", clock);
      }
      return null;
    } catch (error) {
      return error instanceof LinkEnd ? error.why : null; // what is no JSON is an older bridge's page
    }
  }

  probe(): void {
    if (!this.isOpen || this.#probing) {
      return;
    }
    this.#probing = true;
    void this.#ask(maxProbeMs).then((why) => {
      this.#probing = false;
      if (why) {
        this.#end(ending("silent", `the bridge does not answer: ${why.reason}`));
        return;
      }
      for (const follower of this.#followers.values()) {
        follower.restart(); // the bridge is there; whether the old connections are nobody knows
      }
    });
  }

  publish(topic: string, payload: string | Uint8Array, qos: 0 | 1, timeoutMs: number): Promise<void> {
    const body = typeof payload === "string" ? { topic, payload, qos } : { topic, base64: toBase64(payload), qos };
    return publish(this.host, topic, JSON.stringify(body), timeoutMs);
  }

  #end(why: Ending): void {
    if (!this.#over) {
      this.close();
      this.host.ended(this, why);
    }
  }

  close(): void {
    this.#over = true;
    this.isOpen = false;
    this.#clockTimer?.();
    this.#lookTimer?.();
    for (const follower of this.#followers.values()) {
      follower.stop();
    }
    this.#followers.clear();
  }
}
