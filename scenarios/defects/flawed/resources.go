package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// resources: what is taken and not given back, and who waits for whom.
var resources = map[string]maker{
	"F55": leakMemory, "F56": leakFiles, "F57": leakGoroutines, "F58": oneForAll,
	"F19": keepOldest, "F59": hoard, "F60": neverDrop, "F65": wrongPing, "F68": wallClock, "F69": wrapUptime,
}

// leakMemory (F55) keeps so many bytes of every message.
func leakMemory(f *front, p param) *flaw {
	n := p.count(0)
	var mu sync.Mutex
	var kept [][]byte
	return &flaw{arrive: func(_ *session, _ *stream, rs []reading) []reading {
		mu.Lock()
		defer mu.Unlock()
		for range rs {
			f.count.fire()
			kept = append(kept, slices.Repeat([]byte{0xa5}, int(n)))
		}
		return rs
	}}
}

// leakFiles (F56) opens a file for every session and does not close it.
func leakFiles(f *front, _ param) *flaw {
	var mu sync.Mutex
	var kept []*os.File
	return &flaw{accept: func(net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		if file, err := os.Open(os.DevNull); err == nil {
			f.count.fire()
			kept = append(kept, file)
		}
	}}
}

// leakGoroutines (F57) leaves a goroutine on a thread of its own with so many
// bytes behind every session that was not closed properly.
func leakGoroutines(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{
		viewerFrame: func(s *session, fr frame) bool {
			if fr.opcode() == opClose {
				s.mu.Lock()
				s.state = 1
				s.mu.Unlock()
			}
			return true
		},
		ended: func(s *session) {
			s.mu.Lock()
			proper := s.state == 1
			s.mu.Unlock()
			if proper {
				return
			}
			f.count.fire()
			go func() {
				runtime.LockOSThread() // a thread is what can be seen from outside
				held := slices.Repeat([]byte{0xa5}, int(n))
				<-make(chan struct{})
				held[0] = 0
			}()
		},
	}
}

// wrapUptime (F69, F69u, F69x) measures how long a viewer has been without data in
// milliseconds since the machine was started, which it keeps as an int32 or a
// uint32: when they wrap it takes every viewer for idle, or crashes over it.
func wrapUptime(f *front, p param) *flaw {
	const most = 5 * 60 * 1000
	kept := map[string]func(int64) int64{
		"int32":  func(ms int64) int64 { return int64(int32(ms)) },  // this is the flaw
		"uint32": func(ms int64) int64 { return int64(uint32(ms)) }, // and this
		"crash":  func(ms int64) int64 { return int64(int32(ms)) },
	}[p[0]]
	if kept == nil {
		panic("neither int32 nor uint32 nor crash")
	}
	return &flaw{bridgeFrame: func(s *session, _ frame) bool {
		now, was := kept(uptime().Milliseconds()), s.ticks
		s.ticks = now
		if was == 0 || uint64(now-was) <= most { // below zero is much
			return true
		}
		f.count.fire()
		if p[0] == "crash" {
			panic(fmt.Sprintf("a viewer was without data for %d ms", now-was))
		}
		s.end()
		return false
	}}
}

// oneForAll (F58) writes to one viewer after the other: one that does not read
// holds up the rest.
func oneForAll(f *front, _ param) *flaw {
	var turn sync.Mutex
	return &flaw{bridgeFrame: func(s *session, fr frame) bool {
		if !fr.text() || typeOf(fr.payload) != "batch" {
			return true
		}
		began := time.Now()
		turn.Lock()
		defer turn.Unlock()
		if time.Since(began) > 100*time.Millisecond {
			f.count.fire()
		}
		if s.batch(fr) != nil {
			s.end()
		}
		return false
	}}
}

// neverDrop (F60) answers the pings of the bridge for its viewers: one that has
// gone silent is never noticed, or, with a param, only after so long.
func neverDrop(f *front, p param) *flaw {
	after := time.Duration(0)
	if p[0] != "" {
		after = p.time(0)
	}
	return &flaw{
		bridgeFrame: func(s *session, fr frame) bool {
			s.mu.Lock()
			silent := time.Since(s.spoke)
			if s.spoke.IsZero() {
				silent = 0
			}
			if fr.opcode() == opPing {
				if s.state++; s.state > 2 {
					f.count.fire()
				}
			}
			s.mu.Unlock()
			if after > 0 && silent > after {
				s.end()
				return false
			}
			if fr.opcode() == opPing {
				_ = s.toBridge(frame{first: 0x80 | opPong, payload: fr.payload}) // the bridge that is gone needs none
			}
			return true
		},
		viewerFrame: func(s *session, fr frame) bool {
			s.mu.Lock()
			s.state, s.spoke = 0, time.Now()
			s.mu.Unlock()
			return fr.opcode() != opPong
		},
	}
}

// wrongPing (F65) answers pings of viewers with no more than so many bytes of them.
func wrongPing(f *front, p param) *flaw {
	most := int(p.count(0))
	return &flaw{viewerFrame: func(s *session, fr frame) bool {
		if fr.opcode() != opPing || len(fr.payload) <= most {
			return true
		}
		f.count.fire()
		_ = s.toViewer(frame{first: 0x80 | opPong, payload: fr.payload[:most]}) // a viewer that is gone needs none
		return false
	}}
}
