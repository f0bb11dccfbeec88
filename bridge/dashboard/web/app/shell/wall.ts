// Wall mode: big type, nothing to operate, one page after the other, and a screen that stays awake.

import { icon, h, replace } from "./dom.ts";
import { counts } from "./keys.ts";

export interface WallOptions { readonly pages: number; readonly rotateS: number; page(): number; goTo(page: number): void; left(): void }

export class Wall {
  readonly #o: WallOptions;
  readonly #hint = h("p", { class: "wall-hint", role: "status" });
  readonly #abort = new AbortController();
  #lock: WakeLockSentinel | null = null;
  #turn = 0;
  #hide = 0;

  constructor(o: WallOptions) {
    this.#o = o;
    document.documentElement.dataset["wall"] = "";
    document.body.append(this.#hint);
    const signal = this.#abort.signal;
    document.addEventListener("visibilitychange", () => { if (!document.hidden) void this.#awake(); }, { signal });
    for (const kind of ["pointermove", "pointerdown", "keydown"]) document.addEventListener(kind, () => this.#stir(), { signal });
    document.addEventListener("fullscreenchange", () => { if (document.fullscreenElement === null) this.close(); }, { signal });
    void this.#awake();
    void document.documentElement.requestFullscreen?.().catch(() => undefined); // without a gesture, as after a reload, it is not allowed
    this.#stir();
    this.#restart();
  }

  // The lock is lost whenever the page is hidden; where there is none, the system's own settings hold.
  async #awake(): Promise<void> {
    try {
      this.#lock = await navigator.wakeLock?.request("screen") ?? null;
      if (this.#abort.signal.aborted) await this.#lock?.release();
    } catch { /* refused, for want of power: the screen may go dark */ }
  }

  // stir shows the cursor and the way out for a while.
  #stir(): void {
    document.documentElement.dataset["stirred"] = "";
    if (this.#hint.childElementCount === 0) replace(this.#hint, icon("wall"), h("span", null, `Wall mode. ${counts("w") ? "Escape or W ends it" : "Escape ends it"}`, this.#o.pages > 1 ? "; arrows turn pages." : "."));
    clearTimeout(this.#hide);
    this.#hide = window.setTimeout(() => { delete document.documentElement.dataset["stirred"]; }, 3000);
    this.#restart();
  }

  #restart(): void {
    clearInterval(this.#turn);
    if (this.#o.pages > 1) this.#turn = window.setInterval(() => this.#o.goTo((this.#o.page() + 1) % this.#o.pages), this.#o.rotateS * 1000);
  }

  close(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    clearInterval(this.#turn);
    clearTimeout(this.#hide);
    void this.#lock?.release();
    this.#hint.remove();
    delete document.documentElement.dataset["wall"];
    delete document.documentElement.dataset["stirred"];
    if (document.fullscreenElement !== null) void document.exitFullscreen().catch(() => undefined);
    this.#o.left();
  }
}
