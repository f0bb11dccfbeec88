package wire

import (
	"context"
	"errors"

	upstream "plumbline/bridge/command"
)

// pubMsg answers a command: pubok, or puberr with reason and detail.
type pubMsg struct {
	Type   string `json:"type"`
	ID     int64  `json:"id"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`

	Duplicate bool `json:"duplicate,omitempty"`
}

// publish takes a command to a device. The reader waits until it is accepted, so a session's commands keep their order and one
// that does not get its answers sends no more.
func (s *session) publish(text []byte) {
	var id raw
	var m upstream.Message
	if err := s.decodePub(text, &id, &m); err != nil {
		s.misuse("pub: " + err.Error())
		return
	}
	number, ok := id.whole()
	if !ok {
		s.misuse("pub: id must be a whole number")
		return
	}
	ident, _ := s.identity()
	duplicate, err := s.srv.opts.Commands.Publish(context.Background(), upstream.Sender{Identity: ident, Session: s.id, Remote: s.remote}, m)
	var no *upstream.Refusal
	if errors.As(err, &no) {
		s.pushMessage(pubMsg{Type: "puberr", ID: number, Reason: no.Reason, Detail: no.Detail})
		return
	}
	s.pushMessage(pubMsg{Type: "pubok", ID: number, Duplicate: duplicate})
}

// decodePub reads a pub. In JSON its payload is text or base64, in CBOR a byte string.
func (s *session) decodePub(data []byte, id *raw, m *upstream.Message) (err error) {
	members := map[string]any{"id": id, "topic": &m.Topic, "qos": &m.QoS, "seq": &m.Seq, "producer": &m.Producer}
	var text, coded *string
	var plain *[]byte
	if s.dialect.binary {
		members["payload"] = &plain
	} else {
		members["payload"], members["base64"] = &text, &coded
	}
	switch {
	case s.dialect.decode(data, members) != nil:
		return errors.New("a field has the wrong type")
	case plain != nil:
		m.Payload = *plain
	default:
		m.Payload, err = upstream.Payload(text, coded)
	}
	return err
}
