// The JSON schema of a layout (draft 2020-12), for editors and other programs: made from the table that the check uses.

import { type Field, type Fields, kinds, layoutFields, limitFields, meaningFields, place, seriesFields } from "./fields.ts";
import { bounds } from "./layout.ts";

type Schema = Record<string, unknown>;

export function layoutSchema(): Schema {
  const tiles = Object.entries(kinds).map(([kind, spec]) => object({ ...place, ...spec.fields }, { kind: { const: kind } }, spec.label));
  const group = object({ title: { type: "text", label: "Title", max: 120 } }, { tiles: list({ oneOf: tiles }, 0, bounds.tiles) });
  const page = object({ title: { type: "text", label: "Title", need: true, min: 1, max: 120 } }, { groups: list(group, 1, bounds.groups) });
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema", title: "Layout of a Plumbline dashboard",
    ...object(layoutFields, { apiVersion: { const: "plumbline/v1" }, kind: { const: "Dashboard" }, pages: list(page, 1, bounds.pages) }),
  };
}

function object(fields: Fields, also: Schema = {}, title?: string): Schema {
  return {
    ...(title === undefined ? {} : { title }), type: "object", additionalProperties: false,
    required: [...Object.keys(also), ...Object.entries(fields).filter(([, f]) => f.need === true).map(([key]) => key)],
    properties: { ...also, ...Object.fromEntries(Object.entries(fields).map(([key, f]) => [key, schemaOf(f)])) },
  };
}

function list(items: Schema, least: number, most: number): Schema { return { type: "array", minItems: least, maxItems: most, items }; }

function schemaOf(f: Field): Schema {
  const description = f.help === undefined ? f.label : `${f.label}: ${f.help}`;
  const range = (least: string, most: string): Schema => ({ ...(f.min === undefined ? {} : { [least]: f.min }), ...(f.max === undefined ? {} : { [most]: f.max }) });
  switch (f.type) {
    case "number": return { description, type: "number", ...range("minimum", "maximum") };
    case "whole": return { description, type: "integer", ...range("minimum", "maximum") };
    case "flag": return { description, type: "boolean" };
    case "choice": return { description, enum: f.choices };
    case "list": return { description, ...list({ type: "string", maxLength: 200 }, 1, f.max ?? 20) };
    case "limits": return { description, ...object(limitFields) };
    case "series": return { description, ...list(object(seriesFields), 1, f.max ?? 12) };
    case "states": return { description, type: "object", maxProperties: f.max ?? 24, additionalProperties: object(meaningFields) };
    case "pointer": return { description, type: "string", pattern: "^(/([^~]|~[01])*)?$", maxLength: 1000 };
    case "filter": return { description, type: "string", minLength: 1, maxLength: 1000 };
    case "topic": return { description, type: "string", pattern: "^[^$+#][^+#]*$", maxLength: 1000 };
    default: return { description, type: "string", ...range("minLength", "maxLength") };
  }
}
