// Package problem writes the HTTP answers that are not the asked ones (RFC 9457).
package problem

import (
	"encoding/json"
	"maps"
	"net/http"
)

// Write answers with a problem of a status. detail says what is wrong and how to mend it; members are more that a program may read,
// nil for none.
func Write(w http.ResponseWriter, status int, detail string, members map[string]any) {
	title := http.StatusText(status)
	if status == 499 {
		title = "Client Closed Request"
	}
	body := map[string]any{"type": "about:blank", "title": title, "status": status, "detail": detail}
	maps.Copy(body, members)
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the peer is gone when this fails
}
