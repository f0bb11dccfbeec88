import type { CancelTimer } from "./env.ts";
import type { Host } from "./link.ts";

/** Fetches a new token, again and again until there is one that differs from the one in use: sending that once more would make the
 * bridge ask once more. */
export class Refresher {
  #stopped = false;
  #cancel: CancelTimer | null = null;

  constructor(
    private readonly host: Host,
    private readonly current: string,
    private readonly take: (token: string) => void,
  ) {
    this.#ask(1);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #ask(n: number): void {
    const answer = (token: string | undefined) => {
      if (this.#stopped) {
        return;
      }
      if (token !== undefined && token !== this.current) {
        this.#stopped = true;
        this.take(token);
      } else {
        this.#cancel = this.host.env.setTimer(() => this.#ask(n + 1), this.host.backoffMs(n));
      }
    };
    this.host.credential().then(
      (c) => answer(c.token),
      () => answer(undefined),
    );
  }
}
