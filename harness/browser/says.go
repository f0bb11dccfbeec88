package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed says.js
var sayings string

// Says returns what stands on the page in words: texts that are shown, titles, labels,
// classes and other attributes by which a page looks as it does, each once, without
// whatever has a figure in it. So values that change make no difference to it, and a
// word that turns up, or a colour, does. Documents within the page are not looked at.
func (p *Page) Says(ctx context.Context) ([]string, error) {
	text, err := p.eval(ctx, sayings)
	if err != nil {
		return nil, err
	}
	var said []string
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return nil, fmt.Errorf("browser: page %q says %.100q: %w", p.cfg.Name, text, err)
	}
	return said, nil
}
