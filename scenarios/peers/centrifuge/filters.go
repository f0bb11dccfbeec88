package main

import (
	"strings"
	"sync"
	"time"
)

// filters are the MQTT filters that somebody watches, or watched a while ago: who
// comes back shall find in the history what was published meanwhile.
type filters struct {
	kept time.Duration
	mu   sync.RWMutex
	all  map[string]*filter
}

type filter struct {
	levels   []string
	watchers int
	left     time.Time // by the last of them
}

func newFilters(kept time.Duration) *filters { return &filters{kept: kept, all: map[string]*filter{}} }

// add counts one more that watches a filter.
func (f *filters) add(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.all[name]
	if one == nil {
		one = &filter{levels: strings.Split(name, "/")}
		f.all[name] = one
	}
	one.watchers++
}

// remove counts one less.
func (f *filters) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.all[name]
	if one == nil {
		return
	}
	if one.watchers--; one.watchers > 0 {
		return
	}
	one.left = time.Now()
	for name, one := range f.all {
		if one.watchers <= 0 && time.Since(one.left) > f.kept {
			delete(f.all, name)
		}
	}
}

// taking returns the filters that take a topic.
func (f *filters) taking(topic string) []string {
	levels := strings.Split(topic, "/")
	f.mu.RLock()
	defer f.mu.RUnlock()
	var names []string
	for name, one := range f.all {
		if one.takes(levels) {
			names = append(names, name)
		}
	}
	return names
}

// takes is the matching of MQTT 5.0 section 4.7.
func (f *filter) takes(topic []string) bool {
	if strings.HasPrefix(topic[0], "$") && (f.levels[0] == "#" || f.levels[0] == "+") {
		return false
	}
	for i, level := range f.levels {
		switch {
		case level == "#":
			return true
		case i >= len(topic):
			return false
		case level != "+" && level != topic[i]:
			return false
		}
	}
	return len(topic) == len(f.levels)
}
