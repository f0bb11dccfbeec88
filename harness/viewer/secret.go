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
	if token == "" || slices.Contains(s.seen, token) {
		return token
	}
	for _, form := range spellings(token) {
		if !slices.Contains(s.seen, form) {
			s.seen = append(s.seen, form)
		}
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

// excerptLimit bounds what excerpt looks at.
const excerptLimit = 64 << 10

// excerpt takes every token out of a text of a server and returns at most so
// many bytes of it.
func (s *secrets) excerpt(text string, most int) string {
	if len(text) > excerptLimit {
		// A token that was cut would be no token: what may be the beginning of one goes.
		text = s.hide(text[:excerptLimit])
		most = min(most, max(len(text)-s.longest(), 0))
	} else {
		text = s.hide(text)
	}
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// longest returns the length of the longest token.
func (s *secrets) longest() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range s.seen {
		n = max(n, len(token))
	}
	return n
}

// conceal returns an error that shows no token: those of libraries may hold the
// whole address.
func (s *secrets) conceal(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if hidden := s.hide(text); hidden != text {
		return &concealed{text: hidden, cause: err}
	}
	return err
}

// concealed is an error whose own text holds a secret.
type concealed struct {
	text  string
	cause error
}

func (c *concealed) Error() string { return c.text }

// Unwrap lets callers branch on the cause. Whoever prints that prints the secret.
func (c *concealed) Unwrap() error { return c.cause }
