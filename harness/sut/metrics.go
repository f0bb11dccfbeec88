package sut

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metricsLimit bounds a scrape; a page that is longer is cut.
const metricsLimit = 4 << 20

// Metrics scrapes the metrics page of the system: one figure per series, under
// its name with labels as printed there (Prometheus text format 0.0.4). A
// system without such a page gives an error that wraps ErrNoControl.
func (s *SUT) Metrics(ctx context.Context) (map[string]float64, error) {
	address := s.descriptor().Ops.Metrics
	if address == "" {
		return nil, fmt.Errorf("sut: metrics of %q: %w: the descriptor names no ops.metrics", s.source.Name, ErrNoControl)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("sut: metrics: %w: %w", ErrUsage, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("sut: metrics: %w: %w", ErrUnavailable, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sut: metrics: %w: status %s", ErrUnavailable, response.Status)
	}
	return parseMetrics(io.LimitReader(response.Body, metricsLimit))
}

// parseMetrics reads the text format; comments and time stamps are dropped.
func parseMetrics(r io.Reader) (map[string]float64, error) {
	out := map[string]float64{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		// Label values may hold spaces: the figure stands behind the closing brace.
		end := strings.LastIndexByte(line, '}') + 1
		if end == 0 {
			end = strings.IndexByte(line, ' ')
		}
		if end <= 0 || end >= len(line) {
			return nil, fmt.Errorf("sut: metrics: line %.80q holds no figure", line)
		}
		fields := strings.Fields(line[end:])
		if len(fields) == 0 {
			return nil, fmt.Errorf("sut: metrics: line %.80q holds no figure", line)
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return nil, fmt.Errorf("sut: metrics: line %.80q: %w", line, err)
		}
		out[line[:end]] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("sut: metrics: %w", err)
	}
	return out, nil
}
