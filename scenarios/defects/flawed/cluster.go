package main

import "sync"

// clustered: what a bridge of several gets wrong about viewers that come from another one.
var clustered = map[string]maker{
	"F87": func(f *front, p param) *flaw { return strangers(f, func(at uint64) uint64 { return at + p.count(0) }) },
	"F88": func(f *front, p param) *flaw {
		return strangers(f, func(at uint64) uint64 { return at - min(at, p.count(0)) })
	},
}

// strangers (F87, F88) goes on in another place for a viewer that was not served here last. F87 goes on later: a hole that it does not
// heal. F88 goes on earlier: it announces what another bridge has announced.
func strangers(f *front, place func(at uint64) uint64) *flaw {
	var mu sync.Mutex
	reached := map[string]cursor{} // here, by viewer and filter
	return &flaw{
		ended: func(s *session) {
			mu.Lock()
			defer mu.Unlock()
			for _, st := range s.streams {
				reached[s.viewer()+" "+st.filter] = cursor{st.epoch, st.at}
			}
		},
		resume: func(s *session, sub *subscribe) bool {
			mu.Lock()
			defer mu.Unlock()
			if sub.Since.Epoch == "" || reached[s.viewer()+" "+sub.Filter] == *sub.Since {
				return false
			}
			sub.Since.Offset = place(sub.Since.Offset)
			f.count.fire()
			return true
		},
	}
}
