package viewer

import (
	"slices"
	"strings"
	"sync"
)

// secrets are the tokens that a viewer has shown: a server may send one back,
// and what it sends is recorded and printed. The zero value holds none.
type secrets struct {
	mu   sync.Mutex
	seen []string
}

// add remembers a token and returns it.
func (s *secrets) add(token string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token != "" && !slices.Contains(s.seen, token) {
		s.seen = append(s.seen, token)
	}
	return token
}

// hide takes every token out of a text.
func (s *secrets) hide(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range s.seen {
		text = strings.ReplaceAll(text, token, "(token)")
	}
	return text
}
