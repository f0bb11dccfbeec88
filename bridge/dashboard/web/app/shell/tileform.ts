// The dialog that describes a tile.

import { checkTile, type Fault } from "./check.ts";
import { open } from "./dialog.ts";
import { button, h, replace, visible } from "./dom.ts";
import { kinds } from "./fields.ts";
import { makeForm } from "./form.ts";
import type { Group, Kind, Tile } from "./layout.ts";

// newTile: what a kind begins with. Needed fields are there, so that the form can be filled in.
export function newTile(kind: Kind): Tile {
  const size = { x: 0, y: 0, w: kinds[kind].w, h: kinds[kind].h };
  switch (kind) {
    case "chart": return { kind, ...size, series: [{ filter: "" }], windowS: 300 };
    case "gauge": case "bar": return { kind, ...size, filter: "", min: 0, max: 100 };
    case "devices": return { kind, ...size, filter: "#", level: 1 };
    case "alarms": return { kind, ...size };
    case "command": return { kind, ...size, topic: "" };
    case "note": return { kind, ...size, text: "" };
    default: return { kind, ...size, filter: "" };
  }
}

export interface TileDialog { readonly title: string; readonly topics: readonly string[]; readonly groups: readonly Group[]; readonly group: number }

// tileDialog gives the described tile and the group it shall be in; null when it was left.
export async function tileDialog(tile: Tile, o: TileDialog): Promise<{ tile: Tile; group: number } | null> {
  let result: { tile: Tile; group: number } | null = null;
  const form = makeForm(kinds[tile.kind].fields, tile as unknown as Record<string, unknown>, o.topics);
  const said = h("div", { class: "faults", role: "alert" });
  const group = h("select", { id: "tile-group" }, o.groups.map((g, i) => h("option", { value: i, selected: i === o.group }, visible(g.title === undefined || g.title === "" ? `Group ${i + 1}` : g.title, 60))));
  const take = (): void => {
    const next = { kind: tile.kind, x: tile.x, y: tile.y, w: tile.w, h: tile.h, ...form.read() };
    const faults: Fault[] = [];
    checkTile(next, "", (at, what, mend) => faults.push({ at, what, mend }));
    if (faults.length > 0) return replace(said, faults.slice(0, 5).map((f) => h("p", null, `${labelOf(tile.kind, f.at)} ${f.what}; ${f.mend}.`)));
    result = { tile: next as unknown as Tile, group: Number(group.value) };
    d.close();
  };
  const d = open(o.title, [h("form", { onsubmit: (e: Event) => { e.preventDefault(); take(); } },
    h("p", { class: "kind" }, kinds[tile.kind].label), form.el,
    o.groups.length > 1 && h("div", { class: "row" }, h("label", { for: "tile-group" }, "Group"), group),
    said, h("div", { class: "buttons" }, button("Cancel", () => d.close()), h("button", { type: "submit", class: "primary" }, "Apply")))], { wide: true });
  d.body.querySelector<HTMLElement>("input, select, textarea")?.focus();
  await d.closed;
  return result;
}

// labelOf names a place by the field's label, for somebody who sees a form and no JSON.
function labelOf(kind: Kind, at: string): string {
  const [, key, ...rest] = at.split("/");
  const field = key === undefined ? undefined : kinds[kind].fields[key];
  return field === undefined ? at : `${field.label}${rest.length > 0 ? ` (${rest.join(" ")})` : ""}:`;
}
