// The surroundings: everything that the client takes from browser or Node.js, so that tests can put their own in place.

/** What is used of a WebSocket. */
export interface Socket {
  binaryType: string;
  readonly protocol: string;
  readonly bufferedAmount: number;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { readonly code: number; readonly reason: string }) => void): void;
}

/** Makes a WebSocket. */
export type SocketMaker = new (url: string, protocols: string[]) => Socket;

/** What is used of document and window. */
export interface Target {
  addEventListener(type: string, listener: (event: Event) => void): void;
  removeEventListener(type: string, listener: (event: Event) => void): void;
}

/** What runs when a timer fires; cancel it with what setTimer returned. */
export type CancelTimer = () => void;

/** The client's surroundings. */
export interface Env {
  /** null = there is none: the fallbacks are used. */
  readonly WebSocket: SocketMaker | null;
  /** null = there is none: WebSocket is all there is. */
  readonly fetch: typeof fetch | null;
  /** Milliseconds that only grow; differences count. Browsers may not count the time that the machine sleeps. */
  now(): number;
  /** What now() counts from, milliseconds since 1970. */
  readonly timeOrigin: number;
  /** The machine's clock, milliseconds since 1970; may be wrong and may be set. */
  wall(): number;
  /** A number in [0,1) for the jitter. */
  random(): number;
  setTimer(run: () => void, ms: number): CancelTimer;
  /** null = nobody can hide the page. */
  readonly document: (Target & { readonly visibilityState: string }) | null;
  /** Gets online, offline, pagehide and pageshow; null = there is none. */
  readonly window: Target | null;
  /** What the browser believes of the network. */
  online(): boolean;
  /** What relative URLs are relative to; "" = nothing. */
  readonly base: string;
  /** Told of errors that listeners throw. */
  report(error: unknown): void;
}

/** Returns the surroundings of this program with what is given in place of its own. */
export function surroundings(given: Partial<Env> = {}): Env {
  const own: Env = {
    WebSocket: (globalThis.WebSocket as unknown as SocketMaker | undefined) ?? null,
    fetch: typeof globalThis.fetch === "function" ? (input, init) => globalThis.fetch(input, init) : null,
    now: () => performance.now(),
    timeOrigin: performance.timeOrigin,
    wall: () => Date.now(),
    random: () => Math.random(),
    setTimer: (run, ms) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    document: typeof document === "undefined" ? null : document,
    window: typeof window === "undefined" ? null : window,
    online: () => typeof navigator === "undefined" || navigator.onLine !== false,
    base: typeof location === "undefined" ? "" : location.href,
    report: (error) => {
      if (typeof reportError === "function") {
        reportError(error);
      } else {
        queueMicrotask(() => {
          throw error;
        });
      }
    },
  };
  return { ...own, ...given };
}
