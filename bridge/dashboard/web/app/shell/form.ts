// The editor's form for the fields of a tile: built from the same table as the check.

import { button, type Child, h } from "./dom.ts";
import { type Field, type Fields, levels, limitFields, seriesFields } from "./fields.ts";

export interface Form { readonly el: HTMLElement; read(): Record<string, unknown> }

interface Input { readonly el: Child; read(): unknown } // undefined: left out

let last = 0;
function fresh(): string { return `f${++last}`; }

// makeForm: topics feeds the list of suggestions of filters.
export function makeForm(fields: Fields, values: Readonly<Record<string, unknown>>, topics: readonly string[]): Form {
  const list = h("datalist", { id: fresh() }, topics.slice(0, 300).map((t) => h("option", { value: t })));
  const inputs = Object.entries(fields).map(([key, f]) => [key, makeInput(f, values[key], list.id)] as const);
  return {
    el: h("div", { class: "form" }, list, inputs.map(([, i]) => i.el)),
    read: () => Object.fromEntries(inputs.map(([key, i]) => [key, i.read()]).filter(([, v]) => v !== undefined)),
  };
}

function makeInput(f: Field, value: unknown, list: string): Input {
  switch (f.type) {
    case "number": case "whole": return numberInput(f, value);
    case "flag": return flagInput(f, value);
    case "choice": return choiceInput(f, value);
    case "prose": return proseInput(f, value);
    case "list": return listInput(f, value);
    case "limits": return limitsInput(f, value);
    case "series": return rowsInput(f, value, list);
    case "states": return statesInput(f, value);
    default: return textInput(f, value, f.type === "filter" || f.type === "topic" ? list : undefined);
  }
}

function row(f: Field, id: string, control: Child): HTMLElement {
  return h("div", { class: "row" }, h("label", { for: id }, f.label, f.need === true && h("span", { class: "need" }, " (needed)")), control, f.help !== undefined && h("p", { class: "help", id: `${id}-help` }, f.help));
}

function textInput(f: Field, value: unknown, list?: string): Input {
  const id = fresh();
  const el = h("input", { id, type: "text", value: typeof value === "string" ? value : "", maxlength: f.max, list, spellcheck: "false", "aria-describedby": f.help === undefined ? undefined : `${id}-help` });
  return { el: row(f, id, el), read: () => el.value === "" && f.need !== true ? undefined : el.value };
}

// A number that is none is handed on as text: the check says what is wrong with it.
function numberInput(f: Field, value: unknown): Input {
  const id = fresh();
  const el = h("input", { id, type: "text", inputmode: "decimal", class: "short", value: typeof value === "number" ? String(value) : "", "aria-describedby": f.help === undefined ? undefined : `${id}-help` });
  return { el: row(f, id, el), read: () => numberOf(el.value) };
}

// numberOf takes a decimal comma too.
export function numberOf(text: string): number | string | undefined {
  const t = text.trim().replace(/^−/, "-");
  if (t === "") return undefined;
  const n = Number(/^[-+]?\d*,\d+$/.test(t) ? t.replace(",", ".") : t);
  return Number.isFinite(n) ? n : text;
}

function flagInput(f: Field, value: unknown): Input {
  const id = fresh();
  const el = h("input", { id, type: "checkbox", checked: value === true });
  return { el: row(f, id, el), read: () => el.checked ? true : undefined };
}

function choiceInput(f: Field, value: unknown): Input {
  const id = fresh();
  const el = h("select", { id }, f.need !== true && h("option", { value: "" }, "–"), f.choices?.map((c) => h("option", { value: c, selected: c === value }, c)));
  return { el: row(f, id, el), read: () => el.value === "" ? undefined : el.value };
}

function proseInput(f: Field, value: unknown): Input {
  const id = fresh();
  const el = h("textarea", { id, rows: "5", maxlength: f.max, value: typeof value === "string" ? value : "" });
  return { el: row(f, id, el), read: () => el.value };
}

function listInput(f: Field, value: unknown): Input {
  const id = fresh();
  const el = h("textarea", { id, rows: "3", value: Array.isArray(value) ? value.join("\n") : "", "aria-describedby": `${id}-help` });
  const read = (): unknown => {
    const lines = el.value.split("\n").map((l) => l.trim()).filter((l) => l !== "");
    return lines.length === 0 ? undefined : lines;
  };
  return { el: row({ ...f, help: f.help ?? "one a line" }, id, el), read };
}

function limitsInput(f: Field, value: unknown): Input {
  const form = makeForm(limitFields, (value ?? {}) as Record<string, unknown>, []);
  return {
    el: h("fieldset", { class: "limits" }, h("legend", null, f.label), form.el),
    read: () => { const v = form.read(); return Object.keys(v).length === 0 ? undefined : v; },
  };
}

// rowsInput is a list of small forms, one for each line of a chart.
function rowsInput(f: Field, value: unknown, list: string): Input {
  const forms: { el: HTMLElement; form: Form }[] = [];
  const box = h("div", { class: "rows" });
  const add = (v: Record<string, unknown>): void => {
    const inputs = Object.entries(seriesFields).map(([key, field]) => [key, makeInput(field, v[key], list)] as const);
    const form: Form = { el: h("div", { class: "form" }, inputs.map(([, i]) => i.el)), read: () => Object.fromEntries(inputs.map(([k, i]) => [k, i.read()]).filter(([, x]) => x !== undefined)) };
    const entry = { form, el: h("fieldset", null, h("legend", null, "Line"), form.el, button("Remove line", () => { forms.splice(forms.indexOf(entry), 1); entry.el.remove(); }, { class: "small" })) };
    forms.push(entry);
    box.append(entry.el);
  };
  for (const v of Array.isArray(value) ? value : [{}]) add(v as Record<string, unknown>);
  return { el: h("div", null, h("p", { class: "legend" }, f.label), box, button("Add line", () => add({}), { class: "small" })), read: () => forms.map((e) => e.form.read()) };
}

// statesInput: a row for each text that has a meaning.
function statesInput(f: Field, value: unknown): Input {
  const rows: { el: HTMLElement; read(): [string, Record<string, unknown>] }[] = [];
  const box = h("div", { class: "rows" });
  const add = (text: string, label: string, level: string): void => {
    const a = h("input", { type: "text", value: text, placeholder: "text that comes", "aria-label": "Text that comes", maxlength: 200 });
    const b = h("input", { type: "text", value: label, placeholder: "shown as", "aria-label": "Shown as", maxlength: 60 });
    const c = h("select", { "aria-label": "Level" }, levels.map((l) => h("option", { value: l, selected: l === level }, l)));
    const entry = {
      el: h("div", { class: "state-row" }, a, b, c, button("Remove", () => { rows.splice(rows.indexOf(entry), 1); entry.el.remove(); }, { class: "small" })),
      read: (): [string, Record<string, unknown>] => [a.value, { ...(b.value === "" ? {} : { label: b.value }), level: c.value }],
    };
    rows.push(entry);
    box.append(entry.el);
  };
  for (const [text, m] of Object.entries((value ?? {}) as Record<string, { label?: string; level: string }>)) add(text, m.label ?? "", m.level);
  return {
    el: h("div", null, h("p", { class: "legend" }, f.label), box, button("Add meaning", () => add("", "", "ok"), { class: "small" })),
    read: () => rows.length === 0 ? undefined : Object.fromEntries(rows.map((r) => r.read())),
  };
}
