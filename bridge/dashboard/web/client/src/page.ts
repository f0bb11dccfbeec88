import type { CancelTimer, Env, Target } from "./env.ts";

/** How long a page is hidden before that counts: who only looks at another tab for a moment changes nothing. */
const awayAfterMs = 5_000;

/** Told of what happens to the page. */
export interface PageSink {
  seen(hidden: boolean): void;
  /** It is hidden, and has been for a while. */
  away(away: boolean): void;
  online(online: boolean): void;
  /** It is looked at again, or goes on after having been put aside. */
  wake(): void;
  /** It is put aside, perhaps to be shown again as it is (the back-forward cache). */
  frozen(): void;
}

/** Watches the page; what it returns ends that. */
export function watchPage(env: Env, sink: PageSink): () => void {
  const { document, window } = env;
  let cancel: CancelTimer | null = null;
  let away = false;
  const setAway = (value: boolean) => {
    cancel = null;
    if (value !== away) {
      away = value;
      sink.away(value);
    }
  };
  const look = () => {
    const hidden = document?.visibilityState === "hidden";
    cancel?.();
    cancel = null;
    sink.seen(hidden);
    if (hidden) {
      cancel = env.setTimer(() => setAway(true), awayAfterMs);
    } else {
      setAway(false);
      sink.wake();
    }
  };
  const online = () => sink.online(true);
  const offline = () => sink.online(false);
  const wake = () => sink.wake();
  const hide = (event: Event) => (event as PageTransitionEvent).persisted && sink.frozen();
  const show = (event: Event) => (event as PageTransitionEvent).persisted && sink.wake();
  const listeners: [Target | null, string, (event: Event) => void][] = [
    [document, "visibilitychange", look],
    [document, "resume", wake], // the browser had stopped the page (Page Lifecycle)
    [window, "online", online],
    [window, "offline", offline],
    [window, "pagehide", hide],
    [window, "pageshow", show],
  ];
  for (const [target, type, listener] of listeners) {
    target?.addEventListener(type, listener);
  }
  if (document?.visibilityState === "hidden") {
    cancel = env.setTimer(() => setAway(true), awayAfterMs);
  }
  return () => {
    cancel?.();
    for (const [target, type, listener] of listeners) {
      target?.removeEventListener(type, listener);
    }
  };
}
