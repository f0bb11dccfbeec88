package guest

import (
	"bufio"
	"bytes"
	"testing"
)

// FuzzReadRecord: what is read is what was said, and no more of it.
func FuzzReadRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendRecord(nil, kindData, []byte("hello\n")))
	f.Add([]byte{kindResult, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, said []byte) {
		r := bufio.NewReader(bytes.NewReader(said))
		var again []byte
		for {
			kind, text, err := readRecord(r)
			if err != nil {
				break
			}
			again = appendRecord(again, kind, text)
		}
		if !bytes.HasPrefix(said, again) {
			t.Errorf("% x was read as % x", said, again)
		}
	})
}
