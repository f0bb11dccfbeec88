package main

import (
	"hash/maphash"
	"slices"
	"sync"
)

// lines: what bad lines between devices and bridge make of a bridge that takes
// them for good ones.
var lines = map[string]maker{"F72": takePart, "F73": distrustDup, "F74": forgetSent}

// takePart (F72) takes what came of a message whose connection broke off within
// it for all of it.
func takePart(f *front, _ param) *flaw {
	return &flaw{cutOff: func(l *link, p packet) {
		if _, _, payload, ok := p.properties(); ok && len(payload) > 0 && l.send(p) == nil {
			f.count.fire()
		}
	}}
}

// passed knows the messages of devices that were passed on.
type passed struct {
	seed maphash.Seed
	mu   sync.Mutex
	all  map[uint64]bool // by topic and payload
}

func newPassed() *passed { return &passed{seed: maphash.MakeSeed(), all: map[uint64]bool{}} }

// before notes a message and reports whether it was known.
func (k *passed) before(p packet) bool {
	topic, _ := p.publish()
	_, _, payload, ok := p.properties()
	if !ok {
		return false
	}
	var h maphash.Hash
	h.SetSeed(k.seed)
	_, _ = h.WriteString(topic + "\x00") // a hash takes everything
	_, _ = h.Write(payload)
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.all[h.Sum64()]
	k.all[h.Sum64()] = true
	return known
}

const flagDup = 0x08 // of PUBLISH

// distrustDup (F73) takes every message that a device sends again for one that
// it has; it counts those that it has not.
func distrustDup(f *front, _ param) *flaw {
	seen := newPassed()
	return &flaw{fromDevice: func(l *link, p packet) bool {
		if p.kind() != mqttPublish {
			return true
		}
		_, id := p.publish()
		known := seen.before(p)
		if p.first&flagDup == 0 || id == 0 {
			return true
		}
		if !known {
			f.count.fire()
		}
		_ = l.answer(puback(id)) // a device that is gone needs none
		return false
	}}
}

// forgetSent (F74) does not know a message again that a device sends a second
// time: it looks neither at
// its mark nor at the number that its producer gave it.
func forgetSent(f *front, _ param) *flaw {
	seen := newPassed()
	return &flaw{fromDevice: func(l *link, p packet) bool {
		if p.kind() != mqttPublish || !seen.before(p) {
			return true
		}
		before, all, after, _ := p.properties()
		all = slices.DeleteFunc(all, func(one property) bool { return one.id == propUser && one.name() == "plumbline-seq" })
		other := p.withProperties(before, all, after)
		other.first &^= flagDup
		f.count.fire()
		_ = l.send(other) // the broker that is gone needs none
		return false
	}}
}
