// Changes of a layout as pure steps: each gives a new layout, so undoing is going back to the one before.

import { settle } from "./geometry.ts";
import type { Group, Layout, Page, Place, Tile } from "./layout.ts";

// Spot names a tile by its place in the lists.
export interface Spot { readonly page: number; readonly group: number; readonly tile: number }

function changePage(l: Layout, page: number, f: (p: Page) => Page): Layout {
  return { ...l, pages: l.pages.map((p, i) => i === page ? f(p) : p) };
}

function changeGroup(l: Layout, page: number, group: number, f: (g: Group) => Group): Layout {
  return changePage(l, page, (p) => ({ ...p, groups: p.groups.map((g, i) => i === group ? f(g) : g) }));
}

export function tileAt(l: Layout, s: Spot): Tile | undefined { return l.pages[s.page]?.groups[s.group]?.tiles[s.tile]; }

export function placeTile(l: Layout, s: Spot, to: Place): Layout {
  return changeGroup(l, s.page, s.group, (g) => ({ ...g, tiles: settle(g.tiles, s.tile, to) }));
}

export function addTile(l: Layout, page: number, group: number, tile: Tile): Layout {
  return changeGroup(l, page, group, (g) => ({ ...g, tiles: settle([...g.tiles, tile], g.tiles.length, tile) }));
}

export function removeTile(l: Layout, s: Spot): Layout {
  return changeGroup(l, s.page, s.group, (g) => ({ ...g, tiles: g.tiles.filter((_, i) => i !== s.tile) }));
}

export function replaceTile(l: Layout, s: Spot, tile: Tile): Layout {
  return changeGroup(l, s.page, s.group, (g) => ({ ...g, tiles: settle(g.tiles.map((t, i) => i === s.tile ? tile : t), s.tile, tile) }));
}
