// The frame of a chart: its lines, keys and text alternative are the core's; here are title, buttons and what it says of itself.

import { chart, type Chart, type ChartOptions, type ChartState } from "../../core/index.ts";
import { button, h, setAttr, setText } from "../dom.ts";
import type { ChartTile } from "../layout.ts";
import { type Context, frame, type Live, put, titleOf } from "./common.ts";

export function chartTile(tile: ChartTile, ctx: Context): Live {
  const f = frame(tile);
  const plot = h("div", { class: "plot" });
  const note = h("span", { class: "chart-state" });
  let drawn: Chart | null = null;
  const follow = button("Pause", () => {
    if (drawn === null) return;
    if (drawn.state.following) drawn.pause();
    else drawn.resume();
  }, { class: "small" });
  const whole = button("Whole window", () => drawn?.reset(), { class: "small", hidden: true });
  f.tools.append(note, whole, follow);
  f.body.append(plot);
  const onState = (s: ChartState): void => {
    setText(follow, s.following ? "Pause" : "Follow");
    whole.hidden = !s.zoomed;
    setAttr(f.el, "data-following", String(s.following));
    setText(note, s.history === "loading" ? "history is on its way" : s.history === "failed" ? "without history" : s.following ? "" : "paused");
    f.sign("off", s.stale ? "stale" : "live", s.stale ? "no message when one was due" : "");
  };
  const series = tile.series.map((s) => put<ChartOptions["series"][number]>({ ...s }));
  drawn = chart(plot, ctx.store, put<ChartOptions>({
    title: titleOf(tile), series, windowS: tile.windowS, min: tile.min, max: tile.max, limits: tile.limits, digits: tile.digits, onState,
  }));
  onState(drawn.state);
  return { el: f.el, show: () => undefined, theme: () => drawn?.theme(), close: () => drawn?.close() };
}
