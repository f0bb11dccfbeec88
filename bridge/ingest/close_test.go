package ingest

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// The library's own way to tell clients takes the lock of its client list
// twice over and hangs for good when a client leaves in between; the listener
// must tell them itself.
func TestClosingTellsClientsWithoutTheLibrary(t *testing.T) {
	b, _ := start(t, nil)
	c := dial(t, b, 5)
	c.connect(login{id: "stays", clean: true})
	b.doors[0].Close(func(string) { t.Error("the library's function was called") })
	first, body, err := c.read()
	if err != nil || first>>4 != packets.Disconnect || len(body) == 0 || body[0] != packets.ErrServerShuttingDown.Code {
		t.Errorf("packet %#x %x, error %v, want DISCONNECT with %#x", first, body, err, packets.ErrServerShuttingDown.Code)
	}
}
