package httpwire

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"plumbline/bridge/command"
	"plumbline/bridge/strictjson"
)

// Publish serves POST /publish: one command, as the message pub of a WebSocket session.
func (s *Server) Publish() http.Handler { return s.endpoint("publish", http.MethodPost, s.publish) }

// statuses of the refusals of a command.
var statuses = map[string]int{ //nolint:gochecknoglobals // a constant table
	"forbidden": http.StatusForbidden, "topic": http.StatusBadRequest, "qos": http.StatusBadRequest, "seq": http.StatusBadRequest, "rate": http.StatusTooManyRequests,
}

func (s *Server) publish(c *client) {
	m, no := s.command(c)
	if no != nil {
		s.refuse(c.w, c.r, c.id, *no)
		return
	}
	duplicate, err := s.opts.Commands.Publish(c.ctx, command.Sender{Identity: c.id, Remote: c.r.RemoteAddr}, m)
	body, status := map[string]any{"type": "pubok"}, http.StatusOK
	if duplicate {
		body["duplicate"] = true
	}
	var refused *command.Refusal
	if errors.As(err, &refused) { // on record already
		body = map[string]any{"type": "puberr", "reason": refused.Reason, "detail": refused.Detail}
		if status = statuses[refused.Reason]; status == 0 {
			status = http.StatusServiceUnavailable
		}
		if refused.Reason == "rate" {
			c.w.Header().Set("Retry-After", "1")
		}
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(status)
	_ = json.NewEncoder(c.w).Encode(body) // the peer is gone when this fails
}

// command reads the body of a request.
func (s *Server) command(c *client) (m command.Message, no *problem) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, s.opts.MaxBodyBytes))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return m, &problem{http.StatusRequestEntityTooLarge, "body", "the body is longer than viewers.maxFrameBytes"}
	case err != nil:
		return m, &problem{http.StatusBadRequest, "body", "the body broke off"}
	}
	var text, coded *string
	if strictjson.Decode(raw, 8, map[string]any{"topic": &m.Topic, "payload": &text, "base64": &coded, "qos": &m.QoS, "seq": &m.Seq, "producer": &m.Producer}) != nil {
		return m, &problem{http.StatusBadRequest, "body", `the body is not a JSON object as {"topic":"a/b","payload":"on","qos":1}`}
	}
	if m.Payload, err = command.Payload(text, coded); err != nil {
		return m, &problem{http.StatusBadRequest, "body", err.Error()}
	}
	return m, nil
}
