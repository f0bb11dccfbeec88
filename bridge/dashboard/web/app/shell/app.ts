// The page at work: one connection, one store, one layout of which a page is shown. It outlives the end of a session:
// what is shown stays, marked stale, until somebody has signed in again.

import { type Client, connect } from "plumbline-client";
import { createStore, type Store } from "../core/index.ts";
import { askToAcknowledge } from "./acknowledge.ts";
import { autoLayout, type Seen } from "./auto.ts";
import { h, replace, visible } from "./dom.ts";
import { Editor } from "./editor.ts";
import { type Format, makeFormat } from "./format.ts";
import { Head } from "./head.ts";
import { Keys } from "./keys.ts";
import type { Layout } from "./layout.ts";
import { Desk } from "./desk.ts";
import { pack, type Where, writePlace } from "./place.ts";
import { type Me, signOut, tabs } from "./session.ts";
import { SessionKeeper } from "./keeper.ts";
import { applyTheme, keepTheme, onSystemTheme, storedTheme, type Theme } from "./theme.ts";
import type { Context } from "./tiles/common.ts";
import { announcer, View } from "./view.ts";
import { Wall } from "./wall.ts";

export class App {
  readonly root: HTMLElement;
  readonly client: Client;
  readonly desk: Desk;
  me: Me;
  layout!: Layout;
  where: Where;
  foreign = false; // the layout is neither one's own saved one nor made here
  readonly #announcer = announcer();
  readonly #keys: Keys;
  readonly #ticks = new Set<() => void>();
  readonly #tabs = tabs((word) => { if (word === "in") void this.#keeper.elsewhere(); });
  readonly #keeper: SessionKeeper;
  #store!: Store;
  #format!: Format;
  #head: Head | null = null;
  #view: View | null = null;
  #wall: Wall | null = null;
  #editor: Editor | null = null;

  constructor(root: HTMLElement, me: Me, where: Where) {
    this.root = root;
    this.me = me;
    this.where = where;
    this.client = connect({ url: me.websocket, name: "dashboard" });
    this.#keeper = new SessionKeeper({ client: this.client, me, signedIn: (m) => this.#signedIn(m), announce: (t) => this.#announcer.say(t), tell: () => this.#tabs.tell("in") });
    this.desk = new Desk(this);
    this.#keys = new Keys([
      { key: "?", shown: "?", does: "this list", run: () => this.#keys.help() },
      { key: "m", shown: "M", does: "menu: layouts, presets, colours, sign out", run: () => this.desk.menu() },
      { key: "c", shown: "C", does: "connection and proof", run: () => this.#head?.details() },
      { key: "e", shown: "E", does: "edit, and end editing", run: () => this.edit() },
      { key: "w", shown: "W", does: "wall mode, and out of it", run: () => this.wall() },
      { key: "d", shown: "D", does: "dark, light, as the system", run: () => this.turnTheme() },
      { key: "a", shown: "A", does: "acknowledge all alarms, after a question", run: () => void askToAcknowledge(this.#store.alarms, this.announce) },
      { key: "ArrowRight", shown: "→", does: "next page", run: () => this.goTo(this.where.page + 1) },
      { key: "ArrowLeft", shown: "←", does: "page before", run: () => this.goTo(this.where.page - 1) },
      ...Array.from({ length: 9 }, (_, i) => ({ key: String(i + 1), shown: i === 0 ? "1 … 9" : "", does: "page 1 to 9", run: () => this.goTo(i) })),
      { key: "Escape", shown: "Esc", does: "out of wall mode", run: () => this.#wall?.close() },
    ]);
    setInterval(() => { for (const f of this.#ticks) f(); }, 1000);
    onSystemTheme(() => this.#theme());
    addEventListener("hashchange", () => { if (location.hash !== writePlace(this.where)) location.reload(); });
  }

  everySecond = (f: () => void): (() => void) => {
    this.#ticks.add(f);
    return () => this.#ticks.delete(f);
  };

  announce = (text: string): void => this.#announcer.say(text);

  keys(): void { this.#keys.help(); }

  get store(): Store { return this.#store; }
  get format(): Format { return this.#format; }

  // show takes a layout; what was shown before ends. The connection stays. What comes from an address, a file or another owner is foreign.
  show(layout: Layout, where: Where, foreign = where.packed !== undefined || where.owner !== undefined): void {
    this.where = where;
    this.foreign = foreign;
    const before = this.layout as Layout | undefined;
    this.layout = layout;
    document.title = `${visible(layout.title)} – Plumbline`;
    if (before === undefined || before.locale !== layout.locale) this.#newStore(layout);
    this.#theme();
    this.#draw(where.page);
    this.write();
    if (where.wall && this.#wall === null) this.wall();
  }

  #newStore(layout: Layout): void {
    this.#view?.close();
    this.#head?.close();
    const before = this.#store as Store | undefined;
    this.#format = makeFormat(layout.locale);
    const history = this.me.history && this.me.grants.history.length > 0 ? { base: "/api/v1/history" } : null;
    this.#store = createStore({ client: this.client, history, locale: this.#format.locale });
    before?.close();
  }

  #draw(page: number): View {
    this.#view?.close();
    this.#head?.close();
    const ctx: Context = { store: this.#store, client: this.client, me: this.me, format: this.#format, layout: this.layout, judged: new Map(), foreign: () => this.foreign, announce: this.announce, everySecond: this.everySecond };
    this.#head = new Head({
      store: this.#store, format: this.#format, layout: this.layout, goTo: (p) => this.goTo(p), menu: () => this.desk.menu(), announce: this.announce, everySecond: this.everySecond,
    });
    const view = new View(this.layout, ctx, this.#head.el);
    this.#view = view;
    replace(this.root, h("a", { class: "skip", href: "#view", onclick: (e: Event) => { e.preventDefault(); view.el.focus(); } }, "To the readings"), this.#head.el, view.el, this.#announcer.el);
    view.wall = this.#wall !== null;
    view.show(page);
    this.#head.page(view.page);
    return view;
  }

  goTo(page: number): void {
    const pages = this.layout.pages.length, to = Math.min(Math.max(page, 0), pages - 1);
    if (this.#editor !== null) { // the editor knows the cells of the page that it began with
      if (to !== this.where.page) this.#editor.turn(to);
      this.#head?.page(to);
      this.where = { ...this.where, page: to };
      return this.write();
    }
    this.where = { ...this.where, page: to };
    this.#view?.show(to);
    this.#head?.page(to);
    this.write();
  }

  // write keeps the address true without filling the history with every turned page.
  write(): void {
    const w = this.where, named = w.packed !== undefined || w.saved !== undefined || w.preset !== undefined; // then no filter's page is shown
    history.replaceState(null, "", `${location.pathname}${named ? "" : location.search}${writePlace(w)}`);
  }

  async keepInAddress(layout: Layout): Promise<void> {
    const packed = await pack(layout);
    if (this.layout !== layout) return; // another was opened meanwhile
    this.where = { page: this.where.page, wall: false, packed };
    this.write();
  }

  turnTheme(): void {
    const next: Record<Theme, Theme> = { auto: "dark", dark: "light", light: "auto" };
    this.setTheme(next[storedTheme() ?? this.layout.theme ?? "auto"]);
  }

  setTheme(theme: Theme): void {
    keepTheme(theme);
    this.#theme();
    this.announce(`Colours: ${theme === "auto" ? "as the system" : theme}`);
  }

  #theme(): void {
    applyTheme(storedTheme() ?? this.layout.theme ?? "auto");
    this.#view?.theme();
  }

  wall(): void {
    if (this.#editor !== null) return;
    if (this.#wall !== null) return this.#wall.close();
    this.where = { ...this.where, wall: true };
    this.write();
    this.#wall = new Wall({
      pages: this.layout.pages.length, rotateS: this.layout.rotateS ?? 20, page: () => this.where.page, goTo: (p) => this.goTo(p),
      left: () => {
        this.#wall = null;
        this.where = { ...this.where, wall: false };
        this.write();
        if (this.#view !== null) this.#view.wall = false;
      },
    });
    if (this.#view !== null) this.#view.wall = true;
  }

  edit(): void {
    if (this.#editor !== null) return void this.#editor.leave();
    if (this.#view === null) return;
    this.#wall?.close();
    const before = this.layout, where = this.where;
    this.#editor = new Editor(this.layout, this.#view, {
      topics: () => this.topics(), announce: this.announce,
      rebuild: (layout, page) => { this.layout = layout; this.where = { ...this.where, page }; return this.#draw(page); },
      save: (layout) => this.desk.save(layout),
      done: (layout) => {
        this.#editor = null;
        this.layout = layout ?? before;
        if (layout === null) this.where = where;
        this.#draw(this.where.page);
        if (layout !== null && layout !== before && layout !== this.desk.savedLayout) void this.keepInAddress(layout);
        else this.write();
      },
    });
  }

  // topics are those that some tile has seen, for suggestions.
  topics(): readonly string[] { return [...this.#known].sort(); }
  readonly #known = new Set<string>();

  // look listens to everything that may be seen for a while and makes a layout of it.
  async look(): Promise<Layout> {
    const store = createStore({ client: this.client, history: null });
    const grants = this.me.grants.live;
    const watches = (grants.length > 0 ? grants : ["#"]).slice(0, 8).map((g) => store.watch(g, { alarms: false }));
    const seenSoFar = (): number => watches.reduce((n, w) => n + w.items.size, 0);
    for (let waited = 0, still = 0, before = 0; waited < 8000 && still < 800; waited += 100) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const now = seenSoFar();
      still = now === before && this.client.state.phase === "open" ? still + 100 : 0; // the held values come first, then what is said just now
      before = now;
    }
    const seen: Seen[] = watches.flatMap((w) => [...w.items.values()].map((i) => ({ topic: i.topic, kind: i.value.kind, text: i.value.text })));
    for (const s of seen.slice(0, 2000)) this.#known.add(s.topic);
    store.close();
    return autoLayout(seen, grants);
  }

  async signOut(): Promise<void> {
    this.#keeper.leaving(true);
    try {
      await signOut();
    } catch (error) {
      this.#keeper.leaving(false); // the session still stands, and its end will be asked about
      throw error;
    }
    this.#tabs.tell("out");
    location.reload();
  }

  // signedIn: somebody has signed in again. The same one goes on where it was; for another the page begins anew.
  #signedIn(me: Me): void {
    const same = me.subject === this.me.subject && me.tenant === this.me.tenant && JSON.stringify(me.grants) === JSON.stringify(this.me.grants);
    this.me = me;
    if (!same) return location.reload();
    this.client.retry();
  }
}
