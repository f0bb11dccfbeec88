import { sameCursor } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import { Broken } from "./errors.ts";
import { flag, need, place, readings, said, text } from "./message.ts";
import type { Message, Names } from "./message.ts";
import type { Reading } from "./reading.ts";
import type { Sub } from "./subscription.ts";

/** What Feed hands on. at is where the subscription stands then; half says that a snapshot is incomplete. */
export interface FeedStep {
  readonly at: Cursor;
  readonly half: boolean;
}

/** What a subscription is asked for by the bridge, or, over the fallbacks, made of what the bridge gives. everyMs null = the bridge's. */
export type Wire = { readonly mode: "all" } | { readonly mode: "latest" | "sample"; readonly everyMs: number | null };

/** Where a Feed puts its updates. */
export interface Sink {
  start(step: FeedStep, recovered: boolean, reason: string): void;
  snapshot(step: FeedStep, readings: Reading[]): void;
  data(step: FeedStep, from: number, readings: Reading[], conflated: number, open: boolean): void;
  gap(step: FeedStep, from: Cursor, count: number | null, reason: string): void;
}

/** What one session knows of one subscription: it holds what comes to the chain of intervals (PROTOCOL.md section 3) and to the
 * bridge's own account. A message that cannot follow what came before throws Broken and hands on nothing. */
export class Feed {
  /** subok came. */
  stands = false;
  #at: Cursor | null;
  #half: boolean;
  #delivered = 0;
  #conflated = 0;
  #missing = 0;
  #part = 0;
  #parts = 0;

  /** asked is the cursor of the command, null for none. names = null: readings are objects. */
  constructor(
    readonly sub: Sub,
    readonly asked: Cursor | null,
    readonly wire: Wire,
    private readonly sink: Sink,
    private readonly names: Names | null,
  ) {
    this.#at = sub.place;
    this.#half = false;
  }

  /** Where it stands; null when nothing can be resumed from there. */
  get cursor(): Cursor | null {
    return this.#half ? null : this.#at;
  }

  /** Takes subok, snapshot, batch or gap. */
  take(kind: string, m: Message): void {
    if (kind === "subok") {
      this.#start(m);
      return;
    }
    if (!this.stands) {
      throw new Broken(`${kind} before subok`);
    }
    switch (kind) {
      case "snapshot":
        this.#snapshot(m);
        return;
      case "gap":
        this.#gap(m);
        return;
    }
    this.#batch(m);
  }

  #start(m: Message): void {
    const at = place(m, "offset");
    if (typeof m["recovered"] !== "boolean") {
      throw new Broken("subok without recovered");
    }
    const recovered = m["recovered"];
    if (this.stands) {
      throw new Broken("subok twice");
    }
    if (recovered && !sameCursor(this.asked, at)) {
      throw new Broken(`recovered at ${at.offset}, asked for ${this.asked ? this.asked.offset : "no cursor"}`);
    }
    const before = this.#at;
    this.stands = true;
    this.#at = at;
    this.#half = !recovered && this.sub.options.snapshot === true;
    const step = { at, half: this.#half };
    if (!recovered && before !== null && !sameCursor(before, at)) {
      const known = before.epoch === at.epoch && at.offset > before.offset;
      this.sink.gap(step, before, known ? at.offset - before.offset : null, this.asked === null ? "snapshot" : text(m, "reason"));
    }
    this.sink.start(step, recovered, recovered ? "" : text(m, "reason"));
  }

  #snapshot(m: Message): void {
    const at = this.#at as Cursor;
    if (!this.#half) {
      throw new Broken("a snapshot that was not due");
    }
    const part = need(m, "part");
    const parts = need(m, "parts");
    if (part !== this.#part + 1 || part > parts || (this.#parts > 0 && parts !== this.#parts)) {
      throw new Broken(`part ${part} of ${parts} of a snapshot after part ${this.#part} of ${this.#parts}`);
    }
    const list = readings(m, this.names, 0);
    for (const one of list) {
      if (one.offset > at.offset) {
        throw new Broken(`a snapshot at ${at.offset} holds the reading ${one.offset}`);
      }
    }
    this.#part = part;
    this.#parts = parts;
    this.#half = part < parts;
    this.sink.snapshot({ at, half: this.#half }, list);
  }

  /** Reads from and to and holds them to the chain (rules 1 and 3). */
  #interval(m: Message): { from: Cursor; to: Cursor } {
    const at = this.#at as Cursor;
    const from = need(m, "from");
    const to = need(m, "to");
    if (this.#half) {
      throw new Broken("readings before the snapshot is complete");
    }
    if (to < from || from !== at.offset) {
      throw new Broken(`the interval (${from},${to}] after the cursor ${at.offset}`);
    }
    if (this.names === null && text(m, "epoch") !== at.epoch) {
      throw new Broken(`an interval of the epoch ${text(m, "epoch").slice(0, 40)}, subscribed in ${at.epoch}`);
    }
    return { from: at, to: { epoch: at.epoch, offset: to } };
  }

  #batch(m: Message): void {
    const { from, to } = this.#interval(m);
    const list = readings(m, this.names, from.offset);
    let before = from.offset;
    for (const one of list) {
      if (one.offset <= before || one.offset > to.offset) {
        throw new Broken(`the reading ${one.offset} behind ${before} in the interval (${from.offset},${to.offset}]`);
      }
      before = one.offset;
    }
    const { conflated, open } = this.#leftOut(m);
    this.#delivered += list.length;
    this.#conflated += conflated;
    this.#at = to;
    this.sink.data({ at: to, half: false }, from.offset, list, conflated, open);
  }

  /** Reads what a batch says of messages that newer ones replaced (PROTOCOL.md section 3.1). */
  #leftOut(m: Message): { conflated: number; open: boolean } {
    const counted = m["conflated"] !== undefined;
    const open = flag(m, "open");
    if ((counted && open) || (counted || open) !== (this.wire.mode !== "all")) {
      throw new Broken(`a batch ${counted ? "with" : "without"} conflated, open ${open} in the mode ${this.wire.mode}`);
    }
    return { conflated: counted ? need(m, "conflated") : 0, open };
  }

  #gap(m: Message): void {
    const { from, to } = this.#interval(m);
    const count = need(m, "count");
    if (count !== to.offset - from.offset) { // every entry of it, matching or not (PROTOCOL.md section 2.4)
      throw new Broken(`a gap of ${count} entries in the interval (${from.offset},${to.offset}]`);
    }
    this.#missing += count;
    this.#at = to;
    this.sink.gap({ at: to, half: false }, from, count, text(m, "reason"));
  }

  /** Compares what a heartbeat says with what came; id is the subscription's in this session. */
  audit(id: number, m: Message): void {
    if (!this.stands || this.#at === null) {
      return;
    }
    const account: [string, string, number][] = [
      ["cursors", "cursor", this.#at.offset],
      ["delivered", "readings", this.#delivered],
      ["gaps", "missing entries", this.#missing],
    ];
    if (this.wire.mode !== "all") {
      account.push(["conflations", "conflated", this.#conflated]);
    }
    for (const [member, what, have] of account) {
      const told = said(m, member, id);
      if (told !== have) {
        throw new Broken(`the heartbeat says ${what} ${told ?? "nothing"}, here it is ${have}`);
      }
    }
  }
}
