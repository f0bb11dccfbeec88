// What the core takes of its surroundings, so that tests can give it clocks and frames of their own.

/** CoreEnv is where clocks, frames and timers come from. */
export interface CoreEnv {
  /** Milliseconds on a clock that never steps: performance.now(). */
  now(): number;
  frame(f: (nowMs: number) => void): number;
  cancelFrame(id: number): void;
  after(ms: number, f: () => void): number;
  cancel(id: number): void;
  /** From 0 up to 1, for waits that differ from page to page. */
  random(): number;
  /** Where visibility is asked; null outside a browser, which then counts as visible. */
  readonly document: Document | null;
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** browserEnv is the real one. */
export function browserEnv(): CoreEnv {
  return {
    now: () => performance.now(),
    frame: (f) => (typeof requestAnimationFrame === "function" ? requestAnimationFrame(f) : Number(setTimeout(() => f(performance.now()), 16))),
    cancelFrame: (id) => (typeof cancelAnimationFrame === "function" ? cancelAnimationFrame(id) : clearTimeout(id)),
    after: (ms, f) => Number(setTimeout(f, ms)),
    cancel: (id) => clearTimeout(id),
    random: () => Math.random(),
    document: typeof document === "undefined" ? null : document,
    fetch: (url, init) => fetch(url, init),
  };
}
