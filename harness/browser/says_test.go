package browser

import (
	"slices"
	"testing"

	"plumbline/harness/record"
)

// A word that turns up, or a class, is told; values that change are not, and neither is
// what nobody sees.
func TestWordsOfAPageAreToldFromItsValues(t *testing.T) {
	s := serve(t, true, `
const p = document.getElementById('p');
p.textContent = 'Press 7: 21.5 °C at 10:31:07';
globalThis.change = (f) => { f(p); return ''; };
`)
	p, _ := s.visit(t, record.NewClock())
	ctx := minute(t)
	after := func(change string) []string {
		t.Helper()
		if _, err := p.Text(ctx, "change((p) => { "+change+" })"); err != nil {
			t.Fatal(err)
		}
		said, err := p.Says(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	before := after("")
	if !slices.Contains(before, "Press : °C at : :") && !slices.Contains(before, "Press : °C at") {
		t.Errorf("the page says %q", before)
	}
	for _, c := range []struct {
		change string
		isNew  string // "" where nothing is
	}{
		{`p.textContent = 'Press 8: 99 °C at 23:00:00'`, ""},
		{`p.append(Object.assign(document.createElement('b'), {hidden: true, textContent: 'not connected'}))`, "hidden is set"},
		{`p.className = 'stale'`, "class stale"},
		{`p.textContent = 'not connected since 10:31'`, "not connected since :"},
		{`document.title = '(offline) site'`, "title (offline) site"},
	} {
		var more []string
		for _, word := range after(c.change) {
			if !slices.Contains(before, word) {
				more = append(more, word)
			}
		}
		if c.isNew == "" && len(more) > 0 || c.isNew != "" && !slices.Contains(more, c.isNew) {
			t.Errorf("%s: new is %q, want %q", c.change, more, c.isNew)
		}
	}
}
