package hub

import (
	"strings"
	"sync"
)

// Name is a topic and the number that stands for it in the formats that use
// numbers. A number is never given to another topic while the hub lives.
type Name struct {
	ID    uint32 // from 1
	Topic string
}

// maxNames bounds the topics that get a number, and so what a viewer has to
// remember. A topic beyond stands by its name.
const maxNames = 1 << 20

// nameBytes bounds the memory of numbered topics, as near as one counts it.
const nameBytes = 64 << 20

// names numbers topics in the order in which they are first needed.
type names struct {
	mu    sync.RWMutex
	known map[string]*Name
	bytes int
}

// of returns the topic's name with its number, nil when numbers have run out.
func (n *names) of(topic string) *Name {
	n.mu.RLock()
	name := n.known[topic]
	n.mu.RUnlock()
	if name != nil {
		return name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if name = n.known[topic]; name != nil || len(n.known) >= maxNames || n.bytes >= nameBytes {
		return name
	}
	if n.known == nil {
		n.known = make(map[string]*Name)
	}
	name = &Name{ID: uint32(len(n.known) + 1), Topic: strings.Clone(topic)}
	n.known[name.Topic] = name
	n.bytes += 96 + len(topic)
	return name
}
