// Layouts that come with the page. They expect topics by one scheme, SITE/AREA/DEVICE/state with a JSON object of values
// and SITE/AREA/DEVICE/availability, retained, with online, or by last will offline; commands go to
// command/SITE/AREA/DEVICE/WHAT. `plumbline feed railway` lets simulated devices speak so.

import type { DevicesTile, Figure, Group, Layout, Limits, Page, Place, Tile } from "./layout.ts";

export interface Preset { readonly id: string; readonly label: string; readonly about: string; readonly layout: Layout }

type Spot = readonly [x: number, y: number, w: number, h: number];

function at([x, y, w, h]: Spot): Place { return { x, y, w, h }; }

interface Given { readonly unit?: string; readonly digits?: number; readonly limits?: Limits; readonly scale?: number }

function value(title: string, spot: Spot, filter: string, pointer: string, more: Given): Tile {
  return { kind: "value", ...at(spot), title, filter, pointer, ...more };
}

function gauge(title: string, spot: Spot, filter: string, pointer: string, min: number, max: number, more: Partial<Figure>): Tile {
  return { kind: "gauge", ...at(spot), title, filter, pointer, min, max, ...more };
}

function bars(title: string, spot: Spot, filter: string, pointer: string, min: number, max: number, more: Partial<Figure>): Tile {
  return { kind: "bar", ...at(spot), title, filter, pointer, min, max, ...more };
}

function chart(title: string, spot: Spot, filter: string, pointer: string, unit: string, windowS: number, more?: { limits?: Limits; scale?: number }): Tile {
  const scale = more?.scale === undefined ? {} : { scale: more.scale };
  return { kind: "chart", ...at(spot), title, series: [{ filter, pointer, unit, ...scale }], windowS, ...(more?.limits === undefined ? {} : { limits: more.limits }) };
}

function contact(title: string, spot: Spot, filter: string, open: "notice" | "warning" | "alarm" = "notice"): Tile {
  return { kind: "state", ...at(spot), title, filter, pointer: "/contact", states: { closed: { label: "Closed", level: "ok" }, open: { label: "Open", level: open } } };
}

function devices(title: string, spot: Spot, site: string): DevicesTile {
  return { kind: "devices", ...at(spot), title, filter: `${site}/+/+/state`, level: 2, status: `${site}/+/+/availability`, staleAfterS: 30 };
}

function layout(title: string, pages: readonly Page[]): Layout {
  return { apiVersion: "plumbline/v1", kind: "Dashboard", title, rotateS: 20, pages };
}

function group(title: string, ...tiles: Tile[]): Group { return { title, tiles }; }

const hot: Limits = { warnHigh: 24, alarmHigh: 27, hysteresis: 0.3 };

function railway(): Layout {
  const shaking: Limits = { warnHigh: 2.4, alarmHigh: 3.2, hysteresis: 0.1 };
  return layout("Railway equipment", [
    { title: "Train", groups: [
      group("Train 7",
        gauge("Speed", [0, 0, 3, 4], "railway/train-7/position/state", "/speed", 0, 90, { unit: "km/h", scale: 3.6, digits: 0, limits: { warnHigh: 70, alarmHigh: 80 } }),
        bars("Axle boxes", [3, 0, 5, 4], "railway/train-7/+/state", "/temperature", 10, 40, { unit: "°C", digits: 1, limits: hot }),
        contact("Doors", [8, 0, 4, 2], "railway/train-7/+/state"),
        value("Satellites", [8, 2, 2, 2], "railway/train-7/position/state", "/satellites", { digits: 0, limits: { warnLow: 5 } }),
        value("Altitude", [10, 2, 2, 2], "railway/train-7/position/state", "/altitude", { unit: "m", digits: 1 }),
        chart("Bogie vibration", [0, 4, 8, 5], "railway/train-7/+/state", "/rms", "m/s²", 300, { limits: shaking }),
        { kind: "alarms", ...at([8, 4, 4, 5]), title: "Alarms", filter: "railway/#" }),
    ] },
    { title: "Line", groups: [
      group("Level crossing and points",
        contact("Crossing barriers", [0, 0, 4, 2], "railway/crossing-12/+/state"),
        value("Point heating", [4, 0, 4, 3], "railway/junction-3/heating-1/state", "/power", { unit: "W", digits: 2, limits: { warnHigh: 2600 } }),
        value("Rail temperature", [8, 0, 4, 3], "railway/junction-3/rail-1/state", "/temperature", { unit: "°C", digits: 1, limits: { alarmLow: -20, warnLow: 3, warnHigh: 45, alarmHigh: 55 } }),
        { kind: "command", ...at([0, 2, 4, 2]), title: "Heating of points", topic: "command/railway/junction-3/heating-1/mode", input: "switch", on: "on", off: "off" },
        chart("Heating power", [4, 3, 8, 4], "railway/junction-3/heating-1/state", "/power", "W", 600),
        { kind: "command", ...at([0, 4, 4, 3]), title: "Barriers", topic: "command/railway/crossing-12/barrier-1/release", label: "Release barrier", payload: "release", confirm: "Release the barrier of crossing 12? Trains may be near." }),
      group("Power supply",
        value("Voltage", [0, 0, 3, 3], "railway/substation-1/feeder-1/state", "/voltage", { unit: "V", digits: 1, limits: { alarmLow: 207, warnLow: 220, warnHigh: 240, alarmHigh: 253 } }),
        value("Current", [3, 0, 3, 3], "railway/substation-1/feeder-1/state", "/current", { unit: "A", digits: 2 }),
        chart("Power", [6, 0, 6, 3], "railway/substation-1/+/state", "/power", "W", 600)),
    ] },
    { title: "Devices", groups: [{ tiles: [devices("Devices", [0, 0, 12, 10], "railway")] }] },
  ]);
}

function line(): Layout {
  const shaking: Limits = { warnHigh: 2.2, alarmHigh: 3, hysteresis: 0.1 };
  return layout("Industrial line", [
    { title: "Line 1", groups: [
      group("Line 1",
        { kind: "bar", ...at([0, 0, 4, 4]), title: "Vibration", filter: "plant/line-1/+/state", pointer: "/rms", unit: "m/s²", digits: 2, min: 0, max: 4, limits: shaking },
        chart("Vibration", [4, 0, 8, 4], "plant/line-1/+/state", "/rms", "m/s²", 300, { limits: shaking }),
        gauge("Spindle", [0, 4, 3, 4], "plant/line-1/press-7/state", "/frequency", 0, 60, { unit: "Hz", digits: 1, limits: { alarmLow: 5, warnLow: 15, warnHigh: 52, alarmHigh: 57 } }),
        value("Power", [3, 4, 3, 4], "plant/line-1/supply/state", "/power", { unit: "W", digits: 2, limits: { warnHigh: 3000 } }),
        contact("Guards", [6, 4, 3, 2], "plant/line-1/+/state", "warning"),
        { kind: "command", ...at([6, 6, 3, 2]), title: "Speed of press 7", topic: "command/plant/line-1/press-7/speed", input: "number", min: 0, max: 60, step: 1, unit: "Hz", label: "Set", confirm: "Change the speed of press 7?" },
        { kind: "alarms", ...at([9, 4, 3, 4]), title: "Alarms", filter: "plant/#" }),
      group("Air and temperature",
        value("Dust PM2.5", [0, 0, 3, 3], "plant/hall/dust-1/state", "/pm25", { unit: "µg/m³", digits: 1, limits: { warnHigh: 50, alarmHigh: 150, hysteresis: 5 } }),
        value("Hall", [3, 0, 3, 3], "plant/hall/climate-1/state", "/temperature", { unit: "°C", digits: 1, limits: { warnLow: 12, warnHigh: 30 } }),
        chart("Dust", [6, 0, 6, 3], "plant/hall/dust-1/state", "/pm25", "µg/m³", 900, { limits: { warnHigh: 50, alarmHigh: 150 } })),
    ] },
    { title: "Energy", groups: [{ tiles: [
      value("Energy", [0, 0, 3, 3], "plant/line-1/supply/state", "/energy", { unit: "kWh", digits: 3 }),
      value("Current", [0, 3, 3, 3], "plant/line-1/supply/state", "/current", { unit: "A", digits: 2 }),
      chart("Power", [3, 0, 9, 6], "plant/+/supply/state", "/power", "W", 3600),
    ] }] },
    { title: "Devices", groups: [{ tiles: [devices("Devices", [0, 0, 12, 10], "plant")] }] },
  ]);
}

function building(): Layout {
  const room: Limits = { warnLow: 17, warnHigh: 26, alarmHigh: 30, hysteresis: 0.3 };
  const fine: Limits = { warnHigh: 35, alarmHigh: 100, hysteresis: 3 };
  return layout("Smart building", [
    { title: "Overview", groups: [
      group("Rooms",
        bars("Temperature", [0, 0, 4, 4], "building/+/climate/state", "/temperature", 10, 35, { unit: "°C", digits: 1, limits: room }),
        bars("Humidity", [4, 0, 4, 4], "building/+/climate/state", "/humidity", 0, 100, { unit: "%", digits: 0, limits: { warnLow: 25, warnHigh: 70 } }),
        contact("Doors and windows", [8, 0, 4, 4], "building/+/+/state"),
        chart("Temperature", [0, 4, 8, 4], "building/+/climate/state", "/temperature", "°C", 3600, { limits: room }),
        { kind: "alarms", ...at([8, 4, 4, 4]), title: "Alarms", filter: "building/#" }),
      group("House",
        value("Power", [0, 0, 3, 3], "building/cellar/meter/state", "/power", { unit: "W", digits: 2, limits: { warnHigh: 4000 } }),
        value("Energy", [3, 0, 3, 3], "building/cellar/meter/state", "/energy", { unit: "kWh", digits: 3 }),
        value("Fine dust", [6, 0, 3, 3], "building/kitchen/air/state", "/pm25", { unit: "µg/m³", digits: 1, limits: fine }),
        { kind: "command", ...at([9, 0, 3, 3]), title: "Heating", topic: "command/building/cellar/heating/setpoint", input: "number", min: 12, max: 26, step: 0.5, unit: "°C", label: "Set" }),
    ] },
    { title: "Energy", groups: [{ tiles: [
      chart("Power", [0, 0, 12, 5], "building/cellar/meter/state", "/power", "W", 3600),
      value("Voltage", [0, 5, 3, 3], "building/cellar/meter/state", "/voltage", { unit: "V", digits: 1, limits: { alarmLow: 207, warnLow: 220, warnHigh: 240, alarmHigh: 253 } }),
      chart("Fine dust", [3, 5, 9, 3], "building/+/air/state", "/pm25", "µg/m³", 3600, { limits: fine }),
    ] }] },
    { title: "Devices", groups: [{ tiles: [devices("Devices", [0, 0, 12, 10], "building")] }] },
  ]);
}

export const presets: readonly Preset[] = [
  { id: "railway", label: "Railway equipment", about: "A train, a level crossing, points and their power supply: topics below railway/", layout: railway() },
  { id: "line", label: "Industrial line", about: "Presses with vibration, guards, dust and energy: topics below plant/", layout: line() },
  { id: "building", label: "Smart building", about: "Rooms, doors, air and the meter: topics below building/", layout: building() },
];
