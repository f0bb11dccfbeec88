// Package audit writes the one event that every refusal leaves behind: what was refused, why, to whom and from where, and never
// a secret. Who refuses calls Refused exactly once, at the place that decides.
package audit

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
)

// Message is the message of every event; what else is logged never has it.
const Message = "refused"

// Event is one refusal. Fields that are not known stay empty and are left out of the record.
type Event struct {
	Action  string // what was refused: handshake, hello, refresh, session, sub, http …
	Reason  string // a short stable word, as in the metrics
	Subject string // who the token names, only when the token itself held
	Tenant  string
	Session string // id of the viewer's session
	Remote  string // address of the peer
	Detail  string // more for the operator; no token, password or payload
}

// Refused writes e to log at level warn.
func Refused(log *slog.Logger, e Event) {
	attrs := make([]slog.Attr, 0, 7)
	for _, a := range []slog.Attr{
		slog.String("action", e.Action), slog.String("reason", e.Reason), slog.String("subject", e.Subject), slog.String("tenant", e.Tenant),
		slog.String("session", e.Session), slog.String("remote", e.Remote), slog.String("detail", e.Detail),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	log.LogAttrs(context.Background(), slog.LevelWarn, Message, attrs...)
}

// Request names an HTTP request as an action: method and path, cut to what tells it from others. The query is left out: there may be
// a secret in it.
func Request(r *http.Request) string { return fmt.Sprintf("%.16s %.128s", r.Method, r.URL.Path) }
