// Keys, wheel and fingers on a chart. Dragging with the first button is uPlot's own, and selects.

/** What hands do to a chart. by: a part of the window's width; at: where in the window, from 0 to 1. */
export interface Handled {
  pan(by: number): void;
  magnify(factor: number, at: number): void;
  toggle(): void;
  reset(): void;
  say(): void;
  busy(isBusy: boolean): void;
}

/** handle makes el obey and returns how to let go. plot is the element of the plotting area. */
export function handle(el: HTMLElement, plot: () => HTMLElement, h: Handled): () => void {
  const stop = new AbortController();
  const on = { signal: stop.signal };
  el.addEventListener("keydown", (e) => key(e, h), on);
  el.addEventListener("dblclick", (e) => { if (inside(e, plot())) h.reset(); }, on);
  el.addEventListener(
    "wheel",
    (e) => {
      if (!e.ctrlKey || !inside(e, plot())) return; // without Ctrl the page scrolls, as anywhere
      e.preventDefault();
      h.magnify(e.deltaY > 0 ? 1.25 : 0.8, share(e.clientX, plot()));
    },
    { ...on, passive: false },
  );
  fingers(el, plot, h, on);
  return () => stop.abort();
}

function key(e: KeyboardEvent, h: Handled): void {
  if (e.target !== e.currentTarget || e.altKey || e.ctrlKey || e.metaKey) return;
  switch (e.key) {
    case "ArrowLeft":
      h.pan(e.shiftKey ? -0.5 : -0.1);
      break;
    case "ArrowRight":
      h.pan(e.shiftKey ? 0.5 : 0.1);
      break;
    case "+":
    case "=":
      h.magnify(0.5, 0.5);
      break;
    case "-":
      h.magnify(2, 0.5);
      break;
    case " ":
      h.toggle();
      break;
    case "Home":
    case "0":
    case "Escape":
      h.reset();
      break;
    case "Enter":
      h.say();
      break;
    default:
      return;
  }
  e.preventDefault();
}

/**
 * fingers: Shift and drag pans; so does one finger, and two magnify. busy while the first button or a finger is down: nothing may move
 * under it. A menu or another window may take the end away from the page; busy ends with those too, or the picture would stand for ever.
 */
function fingers(el: HTMLElement, plot: () => HTMLElement, h: Handled, on: { signal: AbortSignal }): void {
  const held = new Set<number>(); // pointers that are down
  const down = new Map<number, number>(); // those of them that pan → x
  const panning = (e: PointerEvent): boolean => e.pointerType === "touch" || e.shiftKey;
  el.addEventListener(
    "pointerdown",
    (e) => {
      if (e.button !== 0 || !inside(e, plot())) return;
      held.add(e.pointerId);
      h.busy(true);
      if (panning(e)) down.set(e.pointerId, e.clientX);
    },
    on,
  );
  // uPlot listens on the plotting area itself: a drag that pans must not reach it.
  el.addEventListener("mousedown", (e) => { if (e.shiftKey) e.stopPropagation(); }, { ...on, capture: true });
  window.addEventListener(
    "pointermove",
    (e) => {
      if (e.buttons === 0) return up(e); // it was lifted where the page did not see it
      const before = down.get(e.pointerId);
      if (before === undefined) return;
      const width = plot().clientWidth || 1;
      if (down.size === 1) h.pan((before - e.clientX) / width);
      else {
        const other = [...down].find(([id]) => id !== e.pointerId)?.[1] ?? before;
        const was = Math.max(Math.abs(before - other), 8);
        const is = Math.max(Math.abs(e.clientX - other), 8);
        h.magnify(was / is, share((e.clientX + other) / 2, plot()));
      }
      down.set(e.pointerId, e.clientX);
    },
    on,
  );
  const up = (e: PointerEvent): void => {
    down.delete(e.pointerId);
    if (held.delete(e.pointerId) && held.size === 0) h.busy(false);
  };
  const end = (): void => {
    down.clear();
    if (held.size > 0) h.busy(false);
    held.clear();
  };
  window.addEventListener("pointerup", up, on);
  window.addEventListener("pointercancel", up, on);
  window.addEventListener("contextmenu", end, on);
  window.addEventListener("blur", end, on);
}

function inside(e: Event, plot: HTMLElement): boolean {
  return e.target instanceof Node && plot.contains(e.target);
}

function share(clientX: number, plot: HTMLElement): number {
  const r = plot.getBoundingClientRect();
  return Math.min(1, Math.max(0, (clientX - r.left) / (r.width || 1)));
}
