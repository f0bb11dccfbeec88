// JSON pointers (RFC 6901), and how the bridge's history names the number that one points to.

/** parsePointer returns the unescaped tokens. It throws a RangeError that says how to mend a malformed one. */
export function parsePointer(text: string): readonly string[] {
  if (text === "") return [];
  if (text[0] !== "/") throw new RangeError(`${quote(text)} is no JSON pointer: it begins with /, such as /temperature (RFC 6901)`);
  return text.slice(1).split("/").map((token) => {
    if (/~(?![01])/.test(token)) throw new RangeError(`${quote(text)} is no JSON pointer: a ~ is written ~0, and a / inside a name ~1 (RFC 6901 section 3)`);
    return token.replace(/~1/g, "/").replace(/~0/g, "~");
  });
}

/** find follows the tokens from v; undefined when they lead nowhere. Only a value's own members count, so no name reaches a prototype. */
export function find(v: unknown, tokens: readonly string[]): unknown {
  for (const token of tokens) {
    if (Array.isArray(v)) {
      if (!/^(0|[1-9][0-9]{0,9})$/.test(token)) return undefined;
      v = v[Number(token)];
    } else if (typeof v === "object" && v !== null && Object.hasOwn(v, token)) {
      v = (v as Record<string, unknown>)[token];
    } else {
      return undefined;
    }
  }
  return v;
}

/** escapeToken spells a member's name as a part of a pointer. */
export function escapeToken(name: string): string {
  return name.replace(/~/g, "~0").replace(/\//g, "~1");
}

/** fieldOf is the name under which history keeps the number at a pointer, where no rule names it otherwise. */
export function fieldOf(pointer: string): string {
  return pointer === "" ? "value" : pointer.slice(1);
}

function quote(s: string): string {
  return JSON.stringify(s.length > 60 ? s.slice(0, 60) + "…" : s);
}
