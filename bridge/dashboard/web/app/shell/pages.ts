// The dialog for a layout as a whole: its title and settings, its pages and their groups.

import { checkLayout } from "./check.ts";
import { open } from "./dialog.ts";
import { button, h, replace } from "./dom.ts";
import { layoutFields } from "./fields.ts";
import { makeForm } from "./form.ts";
import type { Layout, Tile } from "./layout.ts";

// Drafts are changed in place: what is typed needs no drawing, and buttons stay where the pointer is.
interface GroupDraft { title: string; tiles: readonly Tile[] }
interface PageDraft { title: string; groups: GroupDraft[] }

// pagesDialog gives the changed layout, or null when it was left.
export async function pagesDialog(layout: Layout): Promise<Layout | null> {
  const pages: PageDraft[] = layout.pages.map((p) => ({ title: p.title, groups: p.groups.map((g) => ({ title: g.title ?? "", tiles: g.tiles })) }));
  let result: Layout | null = null;
  const form = makeForm(layoutFields, layout as unknown as Record<string, unknown>, []);
  const box = h("div", { class: "outline" });
  const said = h("div", { class: "faults", role: "alert" });
  const draw = (focus?: string): void => {
    replace(box, pages.map((p, i) => pageRow(p, i, pages, draw)), button("Add page", () => {
      pages.push({ title: `Page ${pages.length + 1}`, groups: [{ title: "", tiles: [] }] });
      draw(`p${pages.length - 1}`);
    }, { class: "small" }));
    if (focus !== undefined) box.querySelector<HTMLElement>(`[data-row="${focus}"] input`)?.focus();
  };
  const take = (): void => {
    const checked = checkLayout({ apiVersion: layout.apiVersion, kind: layout.kind, ...form.read(), pages });
    if (checked.faults !== undefined) return replace(said, checked.faults.slice(0, 5).map((f) => h("p", null, `${f.at} ${f.what}; ${f.mend}.`)));
    result = checked.layout;
    d.close();
  };
  draw();
  const d = open("Pages and groups", [h("form", { onsubmit: (e: Event) => { e.preventDefault(); take(); } }, form.el, box, said,
    h("div", { class: "buttons" }, button("Cancel", () => d.close()), h("button", { type: "submit", class: "primary" }, "Apply")))], { wide: true });
  await d.closed;
  return result;
}

type Draw = (focus?: string) => void;

function pageRow(page: PageDraft, at: number, all: PageDraft[], draw: Draw): HTMLElement {
  const tiles = page.groups.reduce((n, g) => n + g.tiles.length, 0);
  return h("fieldset", null, h("legend", null, `Page ${at + 1}`),
    line(`p${at}`, page, "Title of the page", all, tiles, draw),
    page.groups.map((g, i) => line(`p${at}g${i}`, g, "Title of the group", page.groups, g.tiles.length, draw)),
    button("Add group", () => { page.groups.push({ title: "", tiles: [] }); draw(`p${at}g${page.groups.length - 1}`); }, { class: "small" }));
}

// line is a title with its buttons: up, down, remove. The last of its kind stays.
function line<T extends { title: string }>(row: string, one: T, label: string, all: T[], tiles: number, draw: Draw): HTMLElement {
  const at = all.indexOf(one);
  const input = h("input", { type: "text", value: one.title, maxlength: 120, "aria-label": label, placeholder: label, oninput: () => { one.title = input.value; } });
  const swap = (to: number): void => { all.splice(to, 0, ...all.splice(at, 1)); draw(); };
  return h("div", { class: row.includes("g") ? "outline-row group-row" : "outline-row", "data-row": row }, input,
    button("Up", () => swap(at - 1), { class: "small", disabled: at === 0 }), button("Down", () => swap(at + 1), { class: "small", disabled: at === all.length - 1 }),
    button(tiles === 0 ? "Remove" : `Remove with ${tiles} tiles`, () => { all.splice(at, 1); draw(); }, { class: "small", disabled: all.length === 1 }));
}
