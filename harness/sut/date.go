package sut

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// dateLimit bounds the wait for one page.
const dateLimit = 5 * time.Second

// Date returns what the system takes for the time of day, to the second: the
// Date of an answer to HTTP (RFC 9110 section 6.6.1), whatever that says else, of
// the pages for operators or of the address of viewers. A system that tells
// nowhere gives an error that wraps ErrNoControl.
func (s *SUT) Date(ctx context.Context) (time.Time, error) {
	d := s.descriptor()
	viewers := strings.NewReplacer("wss://", "https://", "ws://", "http://").Replace(d.Viewer.URL)
	var failed error
	for _, address := range []string{d.Ops.Metrics, d.Ops.Ready, viewers} {
		if address == "" {
			continue
		}
		at, err := dateOf(ctx, address, s.TLS())
		if err == nil {
			return at, nil
		}
		failed = errors.Join(failed, err)
	}
	return time.Time{}, fmt.Errorf("sut: date of %q: %w: no page tells it: %w", s.source.Name, ErrNoControl, failed)
}

func dateOf(ctx context.Context, address string, trust *tls.Config) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, dateLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return time.Time{}, err
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return time.Time{}, err
	}
	_ = response.Body.Close() // the head says it
	return http.ParseTime(response.Header.Get("Date"))
}
