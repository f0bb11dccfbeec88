package tables

import "plumbline/bridge/topic"

// Matcher tells whether a topic is asked for. It remembers the answer for the last topic, since the fields of one follow each
// other. The zero value is ready; one goroutine at a time may use it.
type Matcher struct {
	topic string
	known bool
	last  bool
}

// OK reports whether filter matches name and allow, if there is one, lets it through.
func (m *Matcher) OK(filter string, allow func(topic string) bool, name string) bool {
	if !m.known || m.topic != name {
		m.topic, m.known = name, true
		m.last = topic.Match(filter, name) && (allow == nil || allow(name))
	}
	return m.last
}
