// Where layouts come from and go to: the bridge, presets, files, the address; and the menu of all that.

import type { App } from "./app.ts";
import { filterLayout } from "./auto.ts";
import { type Fault, filterFault, readLayout } from "./check.ts";
import { ask, choose, open, type Opened } from "./dialog.ts";
import { button, h, name, replace, visible } from "./dom.ts";
import type { Layout } from "./layout.ts";
import { Conflict, download, type Entry, listLayouts, loadLayout, removeLayout, saveLayout } from "./library.ts";
import { idFault, idFrom, pack, unpack, type Where, writePlace } from "./place.ts";
import { presets } from "./presets.ts";
import { newCode } from "./session.ts";
import { read, storedTheme, write } from "./theme.ts";

interface Saved { readonly id: string; readonly owner: string | undefined; readonly tag: string; readonly shared: boolean; readonly layout: Layout }

const lastKey = "plumbline-last";

export class Desk {
  readonly #app: App;
  #saved: Saved | null = null;

  constructor(app: App) { this.#app = app; }

  get savedLayout(): Layout | null { return this.#saved?.layout ?? null; }

  // resolve finds the layout of an address; without one, the last that was shown here, else one of what there is.
  async resolve(where: Where, filter: string | null): Promise<void> {
    const app = this.#app;
    if (where.packed !== undefined) {
      const got = await unpack(where.packed);
      if (got.layout !== undefined) return app.show(got.layout, where);
      return this.#instead("The address holds no good layout", got.faults);
    }
    if (where.preset !== undefined) {
      const preset = presets.find((p) => p.id === where.preset);
      if (preset !== undefined) return app.show(preset.layout, where);
      return this.#instead(`There is no preset "${where.preset}"`, [{ at: "preset", what: "is unknown", mend: `known are ${presets.map((p) => p.id).join(", ")}` }]);
    }
    if (filter !== null && where.saved === undefined) { // what stands behind # was chosen later
      const fault = filterFault(filter);
      if (fault === "") return app.show(filterLayout(filter), where);
      return this.#instead("The address holds no good filter", [{ at: `filter=${visible(filter, 80)}`, what: fault, mend: "write one such as ?filter=plant/%23, where %23 is #" }]);
    }
    const last = where.saved === undefined ? read(lastKey) : null;
    const id = where.saved ?? (last !== null && idFault(last) === "" ? last : undefined);
    if (id !== undefined && app.me.layouts) {
      const failed = await this.#load(id, where);
      if (failed === null || where.saved === undefined) { if (failed === null) return; } else return this.#instead(`The layout "${id}" could not be shown`, failed);
    }
    app.show(await app.look(), { page: where.page, wall: where.wall });
  }

  async #load(id: string, where: Where): Promise<readonly Fault[] | null> {
    try {
      const got = await loadLayout(id, where.owner);
      if (got.checked.layout === undefined) return got.checked.faults;
      this.#saved = { id, owner: where.owner, tag: got.tag, shared: got.shared, layout: got.checked.layout };
      if (where.owner === undefined) write(lastKey, id);
      this.#app.show(got.checked.layout, where.owner === undefined ? { saved: id, page: where.page, wall: where.wall } : { saved: id, owner: where.owner, page: where.page, wall: where.wall });
      return null;
    } catch (error) {
      return [{ at: id, what: error instanceof Error ? error.message : String(error), mend: "choose another in the menu" }];
    }
  }

  // instead shows what there is, and says why it is not what was asked for.
  async #instead(title: string, faults: readonly Fault[]): Promise<void> {
    this.#app.show(await this.#app.look(), { page: 0, wall: false });
    faultsDialog(title, faults);
  }

  menu(): void {
    const app = this.#app, saved = h("div", { class: "saved" });
    const d = open("Menu", [
      h("div", { class: "menu-columns" },
        h("section", null, h("h3", null, "Layouts"), saved, this.#ways(() => d)),
        h("section", null, h("h3", null, "Presets"), h("ul", { class: "list" }, presets.map((p) => h("li", null, button(p.label, () => { d.close(); this.#saved = null; app.show(p.layout, { preset: p.id, page: 0, wall: false }); }), h("p", { class: "help" }, p.about)))),
          h("h3", null, "Screen"), h("div", { class: "buttons left" }, themeChoice(app), button("Wall mode", () => { d.close(); app.wall(); }), button("Keys", () => { d.close(); app.keys(); })),
          h("h3", null, "Session"), h("p", null, "Signed in as ", name(app.me.subject), ` on ${app.me.node}, until ${app.format.instant(Date.parse(app.me.expires) * 1000)}.`),
          h("div", { class: "buttons left" }, button("Sign in another screen", () => void codeDialog()), button("Sign out", () => void this.#signOut(d))),
          h("p", { class: "help" }, app.me.version, ". ", h("a", { href: "/assets/licences.txt" }, "Licences of others")))),
    ], { wide: true });
    if (app.me.layouts) void this.#list(saved, d);
    else replace(saved, h("p", { class: "help" }, "This bridge keeps no layouts: use the address or a file."));
  }

  #ways(d: () => Opened): HTMLElement {
    const app = this.#app;
    const file = h("input", { type: "file", accept: ".json,application/json", class: "hidden", tabindex: "-1", "aria-label": "Layout file", onchange: () => void this.#import(file, d()) });
    return h("div", { class: "buttons left" },
      button("Edit", () => { d().close(); app.edit(); }, { class: "primary" }),
      app.me.layouts && button("Save", () => { d().close(); void this.save(app.layout); }),
      app.me.layouts && button("Save as…", () => { d().close(); void this.saveAs(app.layout); }),
      button("From what is here", () => void this.#automatic(d())),
      button("Copy link", (e) => void this.#copy(e.currentTarget as HTMLElement)),
      button("Export", () => download(`${idFrom(app.layout.title)}.json`, `${JSON.stringify(app.layout, null, 2)}\n`)),
      button("Import", () => file.click()), file);
  }

  async #automatic(d: Opened): Promise<void> {
    d.close();
    this.#app.announce("Looking at what there is");
    this.#saved = null;
    history.replaceState(null, "", location.pathname); // no filter's page any more
    this.#app.show(await this.#app.look(), { page: 0, wall: false });
  }

  async #copy(said: HTMLElement): Promise<void> {
    const w = this.#app.where;
    const fragment = w.saved !== undefined || w.preset !== undefined ? writePlace(w) : writePlace({ page: w.page, wall: false, packed: await pack(this.#app.layout) });
    const link = `${location.origin}${location.pathname}${fragment}`;
    try {
      await navigator.clipboard.writeText(link);
      replace(said, "Copied");
    } catch {
      open("Link", [h("p", null, "Copy this:"), h("textarea", { rows: "5", readonly: true, class: "mono", value: link })]);
    }
  }

  async #import(file: HTMLInputElement, d: Opened): Promise<void> {
    const chosen = file.files?.[0];
    if (chosen === undefined) return;
    const got = chosen.size > 1_000_000 ? { faults: [{ at: chosen.name, what: "has more than 1 MB", mend: "a layout has at most 64 KiB" }] } : readLayout(await chosen.text());
    d.close();
    if (!("layout" in got) || got.layout === undefined) return faultsDialog(`${chosen.name} holds no good layout`, got.faults ?? []);
    this.#saved = null;
    this.#app.show(got.layout, { page: 0, wall: false }, true);
    await this.#app.keepInAddress(got.layout);
  }

  async #list(into: HTMLElement, d: Opened): Promise<void> {
    try {
      const all = await listLayouts();
      replace(into, all.length === 0 ? h("p", { class: "help" }, "None is saved yet.") : h("ul", { class: "list" }, all.map((e) => h("li", null,
        button(e.title, () => { d.close(); void this.#openEntry(e); }, { "aria-current": this.#isShown(e) ? "true" : undefined }),
        h("span", { class: "help" }, e.mine ? (e.shared ? "shared with others" : "") : `of ${e.owner}`),
        e.mine && button("Delete", () => void this.#delete(e, d), { class: "small", "aria-label": `Delete ${e.title}` })))));
    } catch (error) {
      replace(into, h("p", { class: "fault" }, error instanceof Error ? error.message : String(error)));
    }
  }

  #isShown(e: Entry): boolean { return this.#saved?.id === e.id && (this.#saved.owner === undefined) === e.mine; }

  async #openEntry(e: Entry): Promise<void> {
    const where: Where = e.mine ? { saved: e.id, page: 0, wall: false } : { saved: e.id, owner: e.owner, page: 0, wall: false };
    const failed = await this.#load(e.id, where);
    if (failed !== null) faultsDialog(`"${e.title}" could not be shown`, failed);
  }

  async #delete(e: Entry, d: Opened): Promise<void> {
    d.close();
    if (!await ask(`Delete the layout "${e.title}"?`, [], "Delete", true)) return;
    try {
      await removeLayout(e.id, e.etag);
      if (this.#isShown(e)) this.#saved = null;
      this.#app.announce("Deleted.");
    } catch (error) {
      faultsDialog("It was not deleted", [{ at: e.id, what: error instanceof Error ? error.message : String(error), mend: "look at it again: somebody may have changed it" }]);
    }
  }

  // save writes to where the layout came from; true when the bridge has it.
  async save(layout: Layout): Promise<boolean> {
    const s = this.#saved;
    if (s === null || s.owner !== undefined) return this.saveAs(layout);
    return this.#put(s.id, layout, s.tag, s.shared);
  }

  async saveAs(layout: Layout): Promise<boolean> {
    const id = h("input", { id: "save-id", type: "text", value: this.#saved?.owner === undefined ? this.#saved?.id ?? idFrom(layout.title) : idFrom(layout.title), maxlength: 64, spellcheck: "false", autocapitalize: "none" });
    const shared = h("input", { id: "save-shared", type: "checkbox", checked: this.#saved?.shared === true });
    const said = h("p", { class: "fault", role: "alert" });
    let go = false;
    const d = open("Save the layout", [h("form", { onsubmit: (e: Event) => {
      e.preventDefault();
      const fault = idFault(id.value);
      if (fault !== "") return replace(said, `${fault}.`);
      go = true;
      d.close();
    } }, h("div", { class: "row" }, h("label", { for: "save-id" }, "Name in the address"), id), h("div", { class: "row" }, h("label", { for: "save-shared" }, "Others may see it"), shared), said,
    h("div", { class: "buttons" }, button("Cancel", () => d.close()), h("button", { type: "submit", class: "primary" }, "Save")))]);
    id.select();
    await d.closed;
    if (!go) return false;
    const tag = this.#saved !== null && this.#saved.owner === undefined && this.#saved.id === id.value ? this.#saved.tag : null;
    return this.#put(id.value, layout, tag, shared.checked);
  }

  async #put(id: string, layout: Layout, tag: string | null, shared: boolean): Promise<boolean> {
    try {
      const next = await saveLayout(id, layout, { tag, shared });
      this.#saved = { id, owner: undefined, tag: next, shared, layout };
      this.#app.foreign = false;
      this.#app.where = { saved: id, page: this.#app.where.page, wall: this.#app.where.wall };
      write(lastKey, id);
      this.#app.write();
      this.#app.announce("Saved.");
      return true;
    } catch (error) {
      if (error instanceof Conflict) return this.#conflict(id, layout, tag === null, shared);
      faultsDialog("It was not saved", [{ at: id, what: error instanceof Error ? error.message : String(error), mend: "nothing is lost: export it, or save again" }]);
      return false;
    }
  }

  // conflict: nobody's work is overwritten without being asked.
  async #conflict(id: string, layout: Layout, isNew: boolean, shared: boolean): Promise<boolean> {
    const how = await choose(isNew ? `There is a layout "${id}" already` : `"${id}" was changed elsewhere meanwhile`,
      ["Yours is not saved yet. You may take another name, put yours in the place of the other, or look at the other one."],
      [{ label: "Look at the other", value: "look" as const }, { label: "Replace the other", value: "replace" as const, danger: true }, { label: "Another name", value: "name" as const, primary: true }]);
    switch (how) {
      case "name": return this.saveAs({ ...layout });
      case "replace": {
        const now = await loadLayout(id).catch(() => null);
        return this.#put(id, layout, now?.tag ?? null, shared);
      }
      case "look":
        window.open(`${location.pathname}${writePlace({ saved: id, page: 0, wall: false })}`, "_blank", "noopener");
        return false;
      default: return false;
    }
  }

  async #signOut(d: Opened): Promise<void> {
    d.close();
    if (!await ask("Sign out?", ["The token ends everywhere: other pages and programs that use it are signed out too."], "Sign out")) return;
    try {
      await this.#app.signOut();
    } catch (error) {
      faultsDialog("Signing out failed", [{ at: "session", what: error instanceof Error ? error.message : String(error), mend: "the session still stands; try again" }]);
    }
  }
}

// codeDialog shows a code by which another screen signs in as the same one.
async function codeDialog(): Promise<void> {
  try {
    const { code, expires_in } = await newCode();
    open("Sign in another screen", [h("p", null, "Open this page there and enter:"), h("p", { class: "code" }, code), h("p", null, "or open:"),
      h("textarea", { rows: "2", readonly: true, class: "mono", value: `${location.origin}/#code=${code}` }), h("p", { class: "help" }, `It works once, within ${Math.round(expires_in / 60)} minutes, and grants what you may see and do.`)]);
  } catch (error) {
    faultsDialog("There is no code", [{ at: "session", what: error instanceof Error ? error.message : String(error), mend: "sign in there with a token" }]);
  }
}

function themeChoice(app: App): HTMLElement {
  const now = storedTheme() ?? app.layout.theme ?? "auto";
  const select = h("select", { "aria-label": "Colours", onchange: () => app.setTheme(select.value as "auto" | "light" | "dark") },
    ([["auto", "Colours as the system"], ["light", "Light"], ["dark", "Dark"]] as const).map(([v, t]) => h("option", { value: v, selected: v === now }, t)));
  return select;
}

function faultsDialog(title: string, faults: readonly Fault[]): void {
  const d = open(title, [h("ul", { class: "faults" }, faults.map((f) => h("li", null, h("code", null, f.at), " ", f.what, f.mend === "" ? "" : `; ${f.mend}`))),
    h("div", { class: "buttons" }, button("Close", () => d.close(), { class: "primary" }))], { wide: true });
}
