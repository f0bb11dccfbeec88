import type { CancelTimer, Env } from "./env.ts";

/** After how much silence at most the bridge is asked whether it is there, however rare its heartbeats; a link that does not answer is given
 * up. At half of that a page that somebody looks at asks already, to say that nothing is heard. */
const maxSilenceMs = 20_000;

/** The longest wait for an answer, before the link is given up and before the silence is told. */
const maxProbeMs = 5_000;
const maxAskMs = 3_000;

/** What Silence needs of a link that is open. */
export interface Listener {
  readonly env: Env;
  /** Runs something later, unless the link is over by then. */
  after(ms: number, run: () => void): CancelTimer;
  /** Asks for an answer; again: those under way may never be answered. */
  ask(again: boolean): void;
  /** Something made it likely that the connection is dead: the machine has slept. */
  suspect(): boolean;
  /** Nobody looks at the page. */
  away(): boolean;
  /** Nothing has been heard since then, though the bridge was asked; null: it is heard again. */
  silent(sinceMs: number | null): void;
  /** It is given up. */
  gone(): void;
}

/** Watches whether the bridge is heard. A timer of a hidden tab may be late by a minute, and what came meanwhile waits behind it; so silence is
 * only a reason to ask, and the verdict is the answer's. */
export class Silence {
  #limitMs = 0;
  #asking = false;
  #probing = false;
  #told = false;

  constructor(
    private readonly link: Listener,
    private heardMs: number,
  ) {}

  /** Something came, at that time. */
  heard(ms: number): void {
    this.heardMs = ms;
    if (this.#told) {
      this.#told = false;
      this.link.silent(null);
    }
  }

  /** Begins; heartbeatMs is after how long the bridge says something in any case. */
  watch(heartbeatMs: number): void {
    this.#limitMs = Math.min(1.5 * heartbeatMs, maxSilenceMs);
    this.#look();
  }

  #look(): void {
    this.link.after(this.#limitMs / 8, () => {
      const silentMs = this.link.env.now() - this.heardMs;
      if (this.link.suspect() || silentMs >= this.#limitMs) {
        this.probe();
      } else if (silentMs >= this.#limitMs / 2 && !this.link.away()) {
        this.#ask();
      }
      this.#look();
    });
  }

  /** Finds out whether the bridge is there; when it is not, the link is given up. */
  probe(): void {
    if (this.#limitMs === 0 || this.#probing) {
      return;
    }
    this.#probing = true;
    this.link.ask(true);
    this.#unanswered(maxProbeMs, (heard) => {
      this.#probing = false;
      if (!heard) {
        this.link.gone();
      }
    });
  }

  #ask(): void {
    if (this.#asking || this.#probing || this.#told) {
      return;
    }
    this.#asking = true;
    this.link.ask(false);
    this.#unanswered(maxAskMs, (heard) => {
      this.#asking = false;
      if (!heard) {
        this.#told = true;
        this.link.silent(this.heardMs);
      }
    });
  }

  /** Says after at most mostMs whether anything was heard meanwhile. */
  #unanswered(mostMs: number, then: (heard: boolean) => void): void {
    const askedMs = this.link.env.now();
    this.link.after(Math.min(mostMs, this.#limitMs / 3), () => then(this.heardMs >= askedMs));
  }
}
