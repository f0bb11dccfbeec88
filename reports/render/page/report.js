// Makes the page handier: everything is on it without this as well.
(() => {
  'use strict';
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // The table of requirements: filters and sorting.
  const filter = document.getElementById('filter'), matrix = document.getElementById('matrix');
  if (filter && matrix) {
    const body = matrix.tBodies[0], rows = [...body.rows], articles = all('article.req');
    const text = document.getElementById('f-text'), selects = all('select', filter), shown = document.getElementById('shown');
    const words = new Map(rows.map(r => [r, r.textContent.toLowerCase()]));
    const apply = () => {
      const want = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = new Set();
      for (const row of rows) {
        const fits = selects.every(s => !s.value || row.dataset[s.name] === s.value) && want.every(w => words.get(row).includes(w));
        row.hidden = !fits;
        if (fits) kept.add(row.dataset.for);
      }
      for (const a of articles) a.hidden = !kept.has(a.id);
      shown.textContent = kept.size === rows.length ? `All ${rows.length} shown` : `${kept.size} of ${rows.length} shown`;
    };
    const reset = () => { text.value = ''; for (const s of selects) s.value = ''; apply(); };
    text.addEventListener('input', apply);
    for (const s of selects) s.addEventListener('change', apply);
    document.getElementById('f-reset').addEventListener('click', () => { reset(); text.focus(); });
    filter.addEventListener('keydown', e => { if (e.key === 'Escape') reset(); });
    const show = () => { // a link to what is filtered out brings everything back
      const target = document.getElementById(location.hash.slice(1));
      if (target && target.hidden) { reset(); target.scrollIntoView(); }
    };
    window.addEventListener('hashchange', show);
    filter.hidden = false;
    apply();
    show();
    for (const head of all('th[data-sort]', matrix)) sortable(head, matrix, body, rows);
  }

  function sortable(head, table, body, rows) {
    const column = head.cellIndex, numbers = head.dataset.sort === 'number';
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    head.replaceChildren(button);
    const value = row => {
      const cell = row.cells[column], v = cell.dataset.v ?? cell.textContent.trim();
      return numbers ? (v === '' ? -1 : Number(v)) : v.toLowerCase();
    };
    button.addEventListener('click', () => {
      const down = head.ariaSort === 'ascending';
      for (const other of all('th[data-sort]', table)) other.removeAttribute('aria-sort');
      head.ariaSort = down ? 'descending' : 'ascending';
      const order = new Map(rows.map((r, i) => [r, i]));
      body.append(...[...rows].sort((a, b) => {
        const x = value(a), y = value(b), by = x < y ? -1 : x > y ? 1 : 0;
        return (down ? -by : by) || order.get(a) - order.get(b);
      }));
    });
  }

  // The plots: the figures at the place that is pointed at, and enlarging.
  for (const chart of all('.chart')) {
    pointing(chart);
    const box = chart.querySelector('.plotbox');
    if (box) enlarging(chart, box);
  }

  function pointing(chart) {
    const rows = all('tr[data-x]', chart), plots = all('svg.plot', chart);
    if (!rows.length) return;
    const heads = all('thead th', chart).map(h => h.textContent), places = rows.map(r => Number(r.dataset.x));
    const out = document.createElement('p');
    out.className = 'readout';
    chart.querySelector('.data').before(out);
    const marks = plots.map(svg => {
      const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
      const height = svg.viewBox.baseVal.height;
      for (const [name, v] of [['class', 'cursor'], ['y1', 4], ['y2', height - 40], ['visibility', 'hidden']]) line.setAttribute(name, v);
      svg.append(line);
      return line;
    });
    let at = -1;
    const show = (i, aloud) => {
      at = i;
      out.setAttribute('aria-live', aloud ? 'polite' : 'off');
      out.textContent = i < 0 ? '' : [...rows[i].cells].map((c, k) => c.textContent && `${heads[k]} ${c.textContent}`).filter(Boolean).join(' · ');
      for (const line of marks) {
        line.setAttribute('visibility', i < 0 ? 'hidden' : 'visible');
        if (i >= 0) { line.setAttribute('x1', places[i]); line.setAttribute('x2', places[i]); }
      }
    };
    for (const svg of plots) {
      svg.addEventListener('pointermove', e => {
        const box = svg.getBoundingClientRect(), x = (e.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
        let best = 0;
        places.forEach((p, i) => { if (Math.abs(p - x) < Math.abs(places[best] - x)) best = i; });
        show(best, false);
      });
      svg.addEventListener('pointerleave', () => show(-1, false));
    }
    const box = chart.querySelector('.plotbox');
    if (box) box.addEventListener('keydown', e => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
      if (step && box.scrollWidth <= box.clientWidth) {
        e.preventDefault();
        show(Math.min(Math.max(at + step, 0), rows.length - 1), true);
      } else if (e.key === 'Escape') show(-1, false);
    });
  }

  function enlarging(chart, box) {
    const svg = box.querySelector('svg'), sizes = [100, 150, 200, 300, 400], tools = document.createElement('div');
    if (!svg) return;
    let size = 0;
    tools.className = 'tools';
    const button = (sign, name, by) => {
      const b = document.createElement('button');
      b.type = 'button';
      b.textContent = sign;
      b.setAttribute('aria-label', `${name}: ${box.getAttribute('aria-label')}`);
      b.title = name;
      b.addEventListener('click', () => {
        const middle = (box.scrollLeft + box.clientWidth / 2) / box.scrollWidth;
        size = Math.min(Math.max(size + by, 0), sizes.length - 1);
        svg.style.width = size ? `${sizes[size]}%` : '';
        box.scrollLeft = middle * box.scrollWidth - box.clientWidth / 2;
      });
      tools.append(b);
    };
    button('−', 'Smaller', -1);
    button('+', 'Larger', 1);
    chart.append(tools);
  }
})();
