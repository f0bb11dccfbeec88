(() => {
  const box = document.getElementById('search'), query = document.getElementById('query'), found = document.getElementById('found'), count = document.getElementById('count');
  const all = JSON.parse(document.getElementById('index').textContent);
  box.hidden = false;
  query.addEventListener('input', () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = words.length ? all.filter(e => words.every(w => (e.t + ' ' + e.k).toLowerCase().includes(w))) : [];
    found.replaceChildren(...hits.slice(0, 50).map(e => {
      const item = document.createElement('li'), link = document.createElement('a'), more = document.createElement('span');
      link.href = e.u; link.textContent = e.t; more.className = 'soft'; more.textContent = ' ' + e.k;
      item.append(link, more);
      return item;
    }));
    count.textContent = words.length ? hits.length + ' found' : '';
  });
})();
