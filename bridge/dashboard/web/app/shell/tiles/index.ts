// Makes a tile of its description.

import { h } from "../dom.ts";
import type { NoteTile, Tile } from "../layout.ts";
import { alarmsTile } from "./alarms.ts";
import { chartTile } from "./chart.ts";
import { commandTile } from "./command.ts";
import { type Context, frame, type Live } from "./common.ts";
import { devicesTile } from "./devices.ts";
import { gaugeTile } from "./gauge.ts";
import { stateTile, textTile } from "./state.ts";
import { tableTile } from "./table.ts";
import { valueTile } from "./value.ts";

export function makeTile(tile: Tile, ctx: Context): Live {
  switch (tile.kind) {
    case "value": return valueTile(tile, ctx);
    case "chart": return chartTile(tile, ctx);
    case "gauge": case "bar": return gaugeTile(tile, ctx);
    case "state": return stateTile(tile, ctx);
    case "text": return textTile(tile, ctx);
    case "table": return tableTile(tile, ctx);
    case "devices": return devicesTile(tile, ctx);
    case "alarms": return alarmsTile(tile, ctx);
    case "command": return commandTile(tile, ctx);
    case "note": return noteTile(tile);
  }
}

function noteTile(tile: NoteTile): Live {
  const f = frame(tile);
  f.body.append(...tile.text.split(/\n{2,}/).map((part) => h("p", { dir: "auto" }, part)));
  return { el: f.el, show: () => undefined, close: () => undefined };
}
