package harness

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"

	"plumbline/devices/firmware"
	"plumbline/harness/viewer"
)

// What a node of the virtual bench tells, by name.
const (
	NodeTemperature = firmware.Temperature // degrees Celsius, can be set
	NodeOutput      = firmware.Output      // with a number behind it: what can be looked at
	NodeDone        = firmware.Done        // number of the last command that was carried out
)

// Screen is what one viewer was given of the values of each device: where a
// scenario sees that what it did to a device has come through. It tells which
// message that was; when that came is for the records to say. The zero value is
// ready. Its methods may be called by any goroutine.
type Screen struct {
	mu      sync.Mutex
	shown   map[string]map[string]sight // by device and name; owned by mu
	kept    int                         // values in shown; owned by mu
	rolls   map[string]*Roll            // by device, of those that number their lines; owned by mu, as is runs
	runs    int                         // in rolls, all together
	changed chan struct{}               // closed and renewed at each message; nil while nobody waits
	sought  map[string][]*Sought        // by device; owned by mu
}

// What a screen looks at and keeps is bounded, for a system may make up what it
// shows: what is beyond that is not on the screen.
const (
	screenPayload = 64 << 10 // bytes of one message
	screenName    = 128      // bytes of the name of a device or of a value
	screenValues  = 1 << 17  // values, of all devices together
)

// sight is a value and the message that first showed it.
type sight struct {
	value float64
	seq   uint64
}

// Watch lets the screen see what a viewer of that configuration gets. Call it once.
func (s *Screen) Watch(cfg viewer.Config) viewer.Config {
	cfg.Resolve = s.over(cfg.Resolve)
	return cfg
}

// over lets the screen see what goes to resolve.
func (s *Screen) over(resolve func(string, []byte) (uint32, uint64, uint8)) func(string, []byte) (uint32, uint64, uint8) {
	return func(topic string, payload []byte) (uint32, uint64, uint8) {
		s.show(topic, payload)
		return resolve(topic, payload)
	}
}

// show takes one payload. Only own ones name their device; what is none, or is
// damaged, shows nothing: other oracles judge that. Of numbered lines the topic
// says whose they are shown as.
func (s *Screen) show(topic string, payload []byte) {
	var own struct {
		Dev    string         `json:"dev"`
		Seq    uint64         `json:"seq"`
		Values map[string]any `json:"v"`
	}
	if len(payload) > screenPayload || json.Unmarshal(payload, &own) != nil || own.Dev == "" || len(own.Dev) > screenName {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil {
		s.shown = map[string]map[string]sight{}
	}
	for name, v := range own.Values {
		if n, ok := v.(float64); ok {
			s.put(own.Dev, name, sight{n, own.Seq})
			s.find(own.Dev, name, sight{n, own.Seq})
		}
	}
	as := own.Dev
	if id, ours := strings.CutPrefix(topic, TopicRoot+"/"); ours && len(id) <= screenName {
		as = id
	}
	s.roll(as, own.Seq, own.Values)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// put keeps a value that is new. It is called with mu held.
func (s *Screen) put(device, name string, now sight) {
	at, known := s.shown[device][name]
	switch {
	case known && at.seq != 0 && at.value == now.value:
		return
	case !known && (len(name) > screenName || s.kept == screenValues):
		return
	case !known:
		s.kept++
	}
	if s.shown[device] == nil {
		s.shown[device] = map[string]sight{}
	}
	s.shown[device][name] = now
}

// Value returns what the screen shows of a device, NaN before anything.
func (s *Screen) Value(device, name string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.shown[device][name]; ok {
		return at.value
	}
	return math.NaN()
}

// Wait waits until the screen shows that value of the device and returns the
// position in its stream of the message that first showed it; ok is false when
// ctx ends first.
func (s *Screen) Wait(ctx context.Context, device, name string, value float64) (seq uint64, ok bool) {
	for {
		s.mu.Lock()
		at, known := s.shown[device][name]
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if known && at.value == value {
			return at.seq, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, false
		}
	}
}

// Sought is a value that a screen was asked for before it could show it; see
// Screen.Seek. Its methods may be called by any goroutine.
type Sought struct {
	screen        *Screen
	device, name  string
	value, within float64
	seq           uint64 // written before found is closed
	found         chan struct{}
}

// Seek asks for a value of a device, which a message from now on may be off by within.
// What the screen shows already does not count. Wait or Forget ends it.
func (s *Screen) Seek(device, name string, value, within float64) *Sought {
	w := &Sought{screen: s, device: device, name: name, value: value, within: within, found: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sought == nil {
		s.sought = map[string][]*Sought{}
	}
	s.sought[device] = append(s.sought[device], w)
	return w
}

// find tells those who seek a value that it is shown. It is called with mu held.
func (s *Screen) find(device, name string, now sight) {
	if len(s.sought[device]) == 0 {
		return
	}
	s.sought[device] = slices.DeleteFunc(s.sought[device], func(w *Sought) bool {
		if w.name != name || !(math.Abs(w.value-now.value) <= w.within) {
			return false
		}
		w.seq = now.seq
		close(w.found)
		return true
	})
}

// Wait waits until the screen has shown the value and returns the position in its
// stream of the first message that did; ok is false when ctx ends first. Nobody
// seeks it any more then.
func (w *Sought) Wait(ctx context.Context) (seq uint64, ok bool) {
	select {
	case <-w.found:
		return w.seq, true
	case <-ctx.Done():
		w.Forget()
		if w.Found() {
			return w.seq, true
		}
		return 0, false
	}
}

// Found reports whether the screen has shown the value.
func (w *Sought) Found() bool {
	select {
	case <-w.found:
		return true
	default:
		return false
	}
}

// Forget ends the search.
func (w *Sought) Forget() {
	w.screen.mu.Lock()
	defer w.screen.mu.Unlock()
	w.screen.sought[w.device] = slices.DeleteFunc(w.screen.sought[w.device], func(other *Sought) bool { return other == w })
}
