// Where tiles lie in a group: no two on one spot. Moving one pushes those below it down; nothing else moves.

import { bounds, columns, type Place, type Tile } from "./layout.ts";

export function overlaps(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

export function rowsOf(tiles: readonly Place[]): number {
  return tiles.reduce((most, t) => Math.max(most, t.y + t.h), 0);
}

export function within<T extends Place>(tile: T): T {
  const w = Math.min(Math.max(Math.round(tile.w), 1), columns), h = Math.min(Math.max(Math.round(tile.h), 1), 40);
  return { ...tile, w, h, x: Math.min(Math.max(Math.round(tile.x), 0), columns - w), y: Math.min(Math.max(Math.round(tile.y), 0), bounds.rows - h) };
}

// settle puts tile `at` where it is told and pushes the others out of its way.
export function settle(tiles: readonly Tile[], at: number, to: Place): readonly Tile[] {
  const moved = tiles[at];
  if (moved === undefined) return tiles;
  const result: Tile[] = [...tiles];
  result[at] = within({ ...moved, x: to.x, y: to.y, w: to.w, h: to.h });
  const pending = [at];
  for (let steps = 0; pending.length > 0 && steps < 10_000; steps++) {
    const by = result[pending.shift() as number] as Tile;
    for (const [i, other] of result.entries()) {
      if (other === by || !overlaps(by, other)) continue;
      if (i === at) continue; // what is moved by hand stays
      result[i] = { ...other, y: by.y + by.h };
      pending.push(i);
    }
  }
  return rowsOf(result) <= bounds.rows ? result : tiles;
}

// firstFree finds the topmost place for a tile of that size.
export function firstFree(tiles: readonly Place[], w: number, h: number): Place {
  for (let y = 0; y < bounds.rows; y++) {
    for (let x = 0; x + w <= columns; x++) {
      const spot = { x, y, w, h };
      if (!tiles.some((t) => overlaps(t, spot))) return spot;
    }
  }
  return { x: 0, y: Math.min(rowsOf(tiles), bounds.rows - h), w, h };
}

// readingOrder is how tiles follow one another where there is one column, and for the Tab key.
export function readingOrder<T extends Place>(tiles: readonly T[]): number[] {
  return tiles.map((_, i) => i).sort((i, j) => {
    const a = tiles[i] as T, b = tiles[j] as T;
    return a.y - b.y || a.x - b.x;
  });
}
