// Texts of somebody else's, as they are shown.

const unseen = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** visible spells out what cannot be seen or would turn the text around: controls, marks of direction, zero widths. */
export function visible(text: string, most = 200): string {
  const shown = text.replace(unseen, (c) => {
    const code = c.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  });
  if (shown.length <= most) return shown;
  const whole = shown.slice(0, most - 1);
  return (/[\ud800-\udbff]$/.test(whole) ? whole.slice(0, -1) : whole) + "…";
}
