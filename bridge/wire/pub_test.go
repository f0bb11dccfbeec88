package wire

import (
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"

	upstream "plumbline/bridge/command"
)

// TestPubNumbers: the number of a command is read in both tongues, and what is none is no command.
func TestPubNumbers(t *testing.T) {
	for _, tc := range []struct {
		seq any
		bad bool
	}{{1, false}, {0, false}, {uint64(1 << 53), false}, {-1, true}, {"1", true}, {1.5, true}} {
		for _, binary := range []bool{false, true} {
			pub, encode := map[string]any{"id": 1, "topic": "command/1", "payload": "on", "qos": 1, "seq": tc.seq, "producer": "wall"}, json.Marshal
			if binary {
				pub["payload"], encode = []byte("on"), cbor.Marshal
			}
			data, err := encode(pub)
			if err != nil {
				t.Fatal(err)
			}
			var id raw
			var m upstream.Message
			err = (&session{dialect: dialect{binary: binary}}).decodePub(data, &id, &m)
			if (err != nil) != tc.bad {
				t.Errorf("seq %v, CBOR %v: %v", tc.seq, binary, err)
			}
			if err == nil && (m.Seq == nil || *m.Seq == 0 != (tc.seq == 0) || m.Producer != "wall" || string(m.Payload) != "on") {
				t.Errorf("seq %v, CBOR %v: %+v", tc.seq, binary, m)
			}
		}
	}
}
