// What stands on a page in words, as a list in JSON; see Says.
(() => {
  const most = 4000;
  const figures = /[^\s,;:(){}[\]"'<>=]*\d[^\s,;:(){}[\]"'<>=]*/g;
  const said = new Set();
  const add = (kind, text) => {
    const words = String(text).replace(figures, ' ').replace(/\s+/g, ' ').trim().slice(0, 120);
    if (/\p{L}/u.test(words)) said.add(kind === '' ? words : kind + ' ' + words);
  };
  add('title', document.title);
  for (const e of document.querySelectorAll('html, body, body *')) {
    if (said.size >= most) break;
    if (e.localName === 'script' || e.localName === 'style') continue;
    const shown = e.getClientRects().length > 0;
    for (const a of e.attributes) {
      if (a.name !== 'd' && a.name !== 'points' && (shown || a.name === 'hidden')) add(a.name, a.value === '' ? 'is set' : a.value);
    }
    if (!shown) continue;
    for (const n of e.childNodes) if (n.nodeType === Node.TEXT_NODE) add('', n.data);
  }
  return JSON.stringify([...said]);
})()
