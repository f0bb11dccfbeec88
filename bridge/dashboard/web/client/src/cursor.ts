/** A place in the bridge's journal: "I have everything up to here". An offset means nothing without its epoch. */
export interface Cursor {
  readonly epoch: string;
  readonly offset: number;
}

/** What the protocol calls a whole number. 2^53 itself is left out: a JSON parser makes it of 2^53 + 1, too. */
export function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Returns EPOCH:OFFSET. */
export function formatCursor(cursor: Cursor): string {
  return `${cursor.epoch}:${cursor.offset}`;
}

/** Reads what formatCursor wrote; a RangeError says what is wrong. */
export function parseCursor(text: string): Cursor {
  const at = text.lastIndexOf(":");
  const digits = text.slice(at + 1);
  const offset = Number(digits);
  if (at < 1 || !/^(0|[1-9][0-9]*)$/.test(digits) || !isWhole(offset)) {
    throw new RangeError(`plumbline-client: not a cursor: ${JSON.stringify(text.slice(0, 80))}: want EPOCH:OFFSET, the offset a whole number below 2^53`);
  }
  return { epoch: text.slice(0, at), offset };
}

/** Reports whether two cursors, or none, are the same place. */
export function sameCursor(a: Cursor | null, b: Cursor | null): boolean {
  return a === b || (a !== null && b !== null && a.epoch === b.epoch && a.offset === b.offset);
}
