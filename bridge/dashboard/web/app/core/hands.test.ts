import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { handle } from "./hands.ts";

// As much of the DOM as hands take of it.
class Element extends EventTarget {
  clientWidth = 100;
  contains(other: unknown): boolean {
    return other === this;
  }
}

const globals = globalThis as { Node?: unknown; window?: unknown };
const kept = { Node: globals.Node, window: globals.window };
before(() => {
  globals.Node = Element;
  globals.window = new EventTarget();
});
after(() => void Object.assign(globals, kept));

interface Chart {
  readonly el: EventTarget;
  readonly window: EventTarget;
  busy: boolean;
  pans: number;
  letGo(): void;
}

function chart(): Chart {
  const el = new Element();
  const window = globals.window as EventTarget;
  const nothing = (): void => undefined;
  const c: Chart = { el, window, busy: false, pans: 0, letGo: nothing };
  c.letGo = handle(el as unknown as HTMLElement, () => el as unknown as HTMLElement, { pan: () => c.pans++, magnify: nothing, toggle: nothing, reset: nothing, say: nothing, busy: (is) => (c.busy = is) });
  return c;
}

const pointer = (type: string, o: Record<string, unknown> = {}): Event => Object.assign(new Event(type), { pointerId: 1, pointerType: "mouse", button: 0, buttons: 1, clientX: 10, shiftKey: false, ...o });

test("hands: a chart stands still under the first button or a finger only, and not for a menu", () => {
  const c = chart();
  c.el.dispatchEvent(pointer("pointerdown", { button: 2, buttons: 2 }));
  assert.equal(c.busy, false, "a menu's button: its end never comes");
  c.el.dispatchEvent(pointer("pointerdown"));
  assert.equal(c.busy, true);
  c.window.dispatchEvent(pointer("pointermove"));
  assert.equal(c.busy, true);
  c.window.dispatchEvent(pointer("pointerup", { buttons: 0 }));
  assert.equal(c.busy, false);
  c.letGo();
});

test("hands: what takes the button's end away from the page ends it", () => {
  const c = chart();
  for (const [what, end] of Object.entries({ "a menu by Ctrl and click": new Event("contextmenu"), "another window": new Event("blur"), "a pointer that comes back without a button": pointer("pointermove", { buttons: 0 }), "the browser": pointer("pointercancel") })) {
    c.el.dispatchEvent(pointer("pointerdown", { shiftKey: true }));
    assert.equal(c.busy, true, what);
    c.window.dispatchEvent(end);
    assert.equal(c.busy, false, what);
    const { pans } = c;
    c.window.dispatchEvent(pointer("pointermove", { clientX: 50 }));
    assert.equal(c.pans, pans, `${what}: nothing is dragged any more`);
  }
  c.letGo();
});

test("hands: of two fingers, the first that is lifted leaves the chart busy", () => {
  const c = chart();
  for (const pointerId of [1, 2]) c.el.dispatchEvent(pointer("pointerdown", { pointerId, pointerType: "touch" }));
  c.window.dispatchEvent(pointer("pointerup", { pointerId: 1, pointerType: "touch", buttons: 0 }));
  assert.equal(c.busy, true);
  c.window.dispatchEvent(pointer("pointerup", { pointerId: 2, pointerType: "touch", buttons: 0 }));
  assert.equal(c.busy, false);
  c.letGo();
});
