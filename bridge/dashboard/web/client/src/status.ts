import type { Env } from "./env.ts";
import type { Cause, Events, State } from "./types.ts";

type Listeners = { [K in keyof Events]: Set<(event: Events[K]) => void> };

/** Holds the state and tells listeners. */
export class Status {
  #state: State;
  readonly #listeners: Listeners = { state: new Set(), clock: new Set(), expiring: new Set(), refreshed: new Set(), broken: new Set() };

  constructor(private readonly env: Env) {
    this.#state = Object.freeze<State>({
      phase: "connecting", transport: null, fallback: null, reason: "connecting for the first time", cause: null, attempt: 0, nextTryMs: null, session: null,
      draining: false, silentSinceMs: null, hidden: env.document?.visibilityState === "hidden", online: env.online(),
    });
  }

  get state(): State {
    return this.#state;
  }

  /** Changes the state and tells, unless nothing differs. */
  set(change: Partial<State>): void {
    const before = this.#state;
    const differs = (Object.keys(change) as (keyof State)[]).some((key) => before[key] !== change[key]);
    if (differs) {
      this.#state = Object.freeze({ ...before, ...change });
      this.emit("state", this.#state);
    }
  }

  on<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): () => void {
    const own = (event: Events[K]) => listener(event); // so that the same function may be given twice
    this.#listeners[name].add(own);
    return () => void this.#listeners[name].delete(own);
  }

  emit<K extends keyof Events>(name: K, event: Events[K]): void {
    for (const listener of [...this.#listeners[name]]) {
      try {
        listener(event);
      } catch (error) {
        this.env.report(error);
      }
    }
  }
}

/** Says for people why there is no connection. */
export function sentence(why: Cause): string {
  switch (why.kind) {
    case "token":
      return why.code === null ? `there is no good credential: ${why.reason}` : `the bridge does not take the credential: ${why.reason}`;
    case "closed":
      return why.code === 1012 ? "the bridge restarts" : `the bridge ended the connection: ${why.reason || "no reason"} (${why.code})`;
    case "http":
      return `the bridge refused: ${why.reason}`;
    case "broken":
      return `what came did not add up: ${why.reason}`;
    case "network":
    case "timeout":
      return `the bridge cannot be reached: ${why.reason}`;
    default:
      return why.reason;
  }
}
