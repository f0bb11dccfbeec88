package survey

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"plumbline/harness/record"
)

// marker is the message that is published to see what becomes of it.
type marker struct {
	topic   string
	payload []byte // a JSON object
	nonce   string // stands in payload and nowhere else
}

// Shape says where a message stands in a frame: JSON pointers of RFC 6901.
type Shape struct {
	List, Topic, Payload string
	Raw                  bool // the frame is the payload and nothing else
	Object               bool // the payload is passed on as JSON, not as text
}

// guess finds the marker in a frame. ok is false when it is not in there.
func guess(frame []byte, m marker) (s Shape, ok bool) {
	if !bytes.Contains(frame, []byte(m.nonce)) {
		return s, false
	}
	if bytes.Equal(frame, m.payload) {
		return Shape{Raw: true}, true
	}
	var root any
	decoder := json.NewDecoder(bytes.NewReader(frame))
	decoder.UseNumber()
	if decoder.Decode(&root) != nil {
		return s, false
	}
	if bytes.Equal(record.Canonical(frame), record.Canonical(m.payload)) {
		return Shape{Raw: true, Object: true}, true
	}
	var payload, topic path
	object := false
	walk(root, nil, func(at path, value any) {
		switch v := value.(type) {
		case string:
			if v == m.topic && topic == nil {
				topic = slices.Clone(at)
			}
			if payload == nil && bytes.Equal(record.Canonical([]byte(v)), record.Canonical(m.payload)) {
				payload = slices.Clone(at)
			}
		case map[string]any:
			if payload == nil && holds(v, m) {
				payload, object = append(path{}, at...), true
			}
		}
	})
	if payload == nil {
		return s, false
	}
	s = Shape{Object: object}
	list := payload.list(topic)
	if len(list) > 0 {
		s.List = list[:len(list)-1].pointer()
		payload = payload[len(list):]
		if topic != nil {
			topic = topic[len(list):]
		}
	}
	s.Payload = payload.pointer()
	if topic != nil {
		s.Topic = topic.pointer()
	}
	return s, true
}

// holds reports whether an object is the payload, or the payload spread into an
// object that holds more.
func holds(v map[string]any, m marker) bool {
	var own map[string]any
	if json.Unmarshal(m.payload, &own) != nil {
		return false
	}
	for name, want := range own {
		if got, there := v[name]; !there || got != want {
			return false
		}
	}
	return true
}

// path is the way to a value: names of members, and indices with isIndex set.
type path []step

type step struct {
	name    string
	isIndex bool
}

// list returns the way to the element of the innermost array that holds both
// values, "" when there is none. topic may be nil.
func (p path) list(topic path) path {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i].isIndex && (topic == nil || (len(topic) > i && slices.Equal(topic[:i+1], p[:i+1]))) {
			return p[:i+1]
		}
	}
	return nil
}

// pointer writes a way as RFC 6901 does.
func (p path) pointer() string {
	var b strings.Builder
	for _, s := range p {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(s.name, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

// walk visits every value, an object before what is in it. The ways that it
// hands over are its own.
func walk(value any, at path, visit func(at path, value any)) {
	visit(at, value)
	switch v := value.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			walk(v[name], append(at, step{name: name}), visit)
		}
	case []any:
		for i, element := range v {
			walk(element, append(at, step{strconv.Itoa(i), true}), visit)
		}
	}
}

// The names that members with topic and payload mostly have.
var (
	topicNames   = []string{"topic", "channel", "subject", "path", "key", "t"}
	payloadNames = []string{"payload", "data", "value", "message", "msg", "body", "p", "v"}
)

// guessByName looks for a message in a frame that is not the marker: the first
// object that has a text under a name of a topic and anything under one of a
// payload. It is a guess and no more.
func guessByName(frame []byte) (s Shape, ok bool) {
	var root any
	if json.Unmarshal(frame, &root) != nil {
		return s, false
	}
	walk(root, nil, func(at path, value any) {
		object, isObject := value.(map[string]any)
		if !isObject || ok {
			return
		}
		isText := func(name string) bool { text, yes := object[name].(string); return yes && text != "" }
		isThere := func(name string) bool { _, there := object[name]; return there }
		t, p := slices.IndexFunc(topicNames, isText), slices.IndexFunc(payloadNames, isThere)
		if t < 0 || p < 0 {
			return
		}
		own := append(path{}, at...)
		list := own.list(nil)
		if ok = true; len(list) > 0 {
			s.List = list[:len(list)-1].pointer()
			own = own[len(list):]
		}
		s.Topic = append(slices.Clone(own), step{name: topicNames[t]}).pointer()
		s.Payload = append(slices.Clone(own), step{name: payloadNames[p]}).pointer()
		s.Object = !isText(payloadNames[p])
	})
	return s, ok
}
