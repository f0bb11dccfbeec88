(() => {
  const main = document.getElementById('state'), note = document.getElementById('note');
  const source = new EventSource('events');
  source.addEventListener('state', e => { main.innerHTML = JSON.parse(e.data); note.textContent = ''; });
  source.addEventListener('end', e => { source.close(); location.href = JSON.parse(e.data); });
  source.onerror = () => { note.textContent = 'The server does not answer just now; what is shown is the last that was known.'; };
})();
