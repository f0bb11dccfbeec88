// Watches over the session: says before it ends, asks for another token when it has ended, and goes on.

import type { Client, State } from "plumbline-client";
import { button, h, replace } from "./dom.ts";
import { type Me, Refused, whoAmI } from "./session.ts";
import { type Asked, signInOver } from "./signin.ts";

export interface KeeperOptions {
  readonly client: Client;
  readonly me: Me;
  signedIn(me: Me): void;
  announce(text: string): void;
  tell(): void; // the other tabs
}

export class SessionKeeper {
  readonly #o: KeeperOptions;
  readonly #band = h("div", { class: "session-band", role: "alert" });
  #asked: Asked | null = null;
  #leaving = false;
  #offered = false; // the band offers to sign in
  #session = 0; // counts sign-ins: what the bridge says of one is nothing against the next
  #expires: number;
  #vain = 0; // sign-ins of which the bridge has thought otherwise at once

  constructor(o: KeeperOptions) {
    this.#o = o;
    this.#expires = Date.parse(o.me.expires);
    o.client.on("state", (s) => { if (s.phase === "refused") void this.#refused(s); else if (s.phase === "open") this.#open(s); });
    o.client.on("expiring", (e) => this.#expiring(e.expires));
  }

  // nowMs is the bridge's time: this machine's may be wrong by hours.
  #nowMs(): number { return this.#o.client.clock.now() / 1000; }

  // leaving: somebody signs out, and the end of the session is no surprise; false when that failed.
  leaving(is: boolean): void {
    this.#leaving = is;
    const state = this.#o.client.state;
    if (!is && state.phase === "refused") void this.#refused(state);
  }

  #open(s: State): void {
    const expires = Date.parse(s.session?.expires ?? "");
    if (expires > this.#nowMs() + 60_000 || this.#offered) this.#band.remove();
    this.#vain = 0;
  }

  // elsewhere: another tab has signed in, and the cookie is this tab's too.
  async elsewhere(): Promise<void> {
    try { this.#again(await whoAmI()); } catch { /* it was not for long */ }
  }

  #again(me: Me): void {
    this.#session++;
    this.#asked?.close();
    this.#asked = null;
    this.#band.remove();
    this.#expires = Date.parse(me.expires);
    this.#o.signedIn(me);
  }

  // refused: where the cookie is good, as after a renewal, it goes on at once; else the page explains itself and asks.
  async #refused(s: State): Promise<void> {
    if (this.#leaving || this.#asked !== null) return;
    let why = s.reason;
    const session = this.#session;
    if (s.cause?.kind === "token") {
      try {
        const me = await whoAmI();
        await new Promise((resolve) => setTimeout(resolve, this.#vain++ === 0 ? 0 : Math.min(1000 * 2 ** this.#vain, 60_000)));
        return this.#again(me);
      } catch (error) {
        if (!(error instanceof Refused) || !error.nobody) { // nobody can tell now
          setTimeout(() => { if (this.#o.client.state.phase === "refused") void this.#refused(this.#o.client.state); }, 5000);
          return;
        }
        if (session !== this.#session || this.#o.client.state.phase !== "refused") return; // somebody has signed in since it was asked
        why = this.#expires <= this.#nowMs() + 2000 ? "The session's time is over." : error.message;
      }
      await this.#ask("Sign in again", `${why} What you see is what came last, and nothing of it is live. After signing in the page goes on where it was: nothing is lost in between as long as the bridge keeps it.`, true);
    }
  }

  // ask opens the dialog; true when somebody has signed in by it.
  async #ask(title: string, why: string, fixed: boolean): Promise<void> {
    if (this.#asked !== null) return;
    const asked = signInOver(title, why, fixed);
    this.#asked = asked;
    const me = await asked.done;
    const left = this.#asked === asked; // by nobody but who sits there
    if (left) this.#asked = null;
    if (me === null) {
      if (left && fixed && this.#o.client.state.phase === "refused") this.#offer(title, why);
      return;
    }
    this.#again(me);
    this.#o.tell();
  }

  // offer keeps a way in: browsers close even a fixed dialog when Escape is pressed twice.
  #offer(title: string, why: string): void {
    this.#offered = true;
    replace(this.#band, h("span", null, "Nobody is signed in: nothing of what you see is live."), button("Sign in", () => void this.#ask(title, why, true), { class: "primary small" }));
    document.body.append(this.#band);
  }

  #expiring(expires: string): void {
    const at = Date.parse(expires);
    if (!(at > this.#expires - 1000)) return; // it was renewed already: the new one counts when this connection ends
    const minutes = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.#offered = false;
    replace(this.#band, h("span", null, `Your session ends at ${minutes}.`), button("Renew", () => void this.#ask("Renew the session", "With another token the page goes on without a break.", false), { class: "primary small" }),
      button("Later", () => this.#band.remove(), { class: "small" }));
    document.body.append(this.#band);
  }
}
