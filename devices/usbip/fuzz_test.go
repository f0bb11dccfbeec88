package usbip_test

import (
	"bytes"
	"io"
	"testing"

	"plumbline/devices/usbip"
)

// stream is a peer that says what it has to say and takes every answer.
type stream struct{ in *bytes.Reader }

func (s stream) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s stream) Write(p []byte) (int, error) { return len(p), nil }
func (s stream) Close() error                { return nil }

// FuzzServe lets both models meet any stream: none may crash them or leave them
// plugged in.
func FuzzServe(f *testing.F) {
	k := &kernel{}
	f.Add([]byte{}, true)
	f.Add(k.command(true, 0, 64, []byte{0x80, 6, 0, 1, 0, 0, 64, 0}, nil), true)
	f.Add(k.command(false, 0, 7, []byte{0x21, 0x20, 0, 0, 0, 0, 7, 0}, []byte{0, 0x4B, 0, 0, 0, 0, 8}), false)
	f.Add(append(k.command(true, 1, 512, nil, nil), k.command(false, 2, 3, nil, []byte("abc"))...), true)
	f.Add(append([]byte{0, 0, 0, 2}, make([]byte, 44)...), false)
	f.Fuzz(func(t *testing.T, said []byte, ftdi bool) {
		model := usbip.ACM
		if ftdi {
			model = usbip.FTDI
		}
		a, err := usbip.New(usbip.Options{Model: model, Serial: "SN"})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Serve(t.Context(), stream{bytes.NewReader(said)}); err == nil && len(said) > 0 && len(said) < 48 {
			t.Errorf("a message cut after %d bytes passed for whole", len(said))
		}
		if a.Plugged() {
			t.Error("it is plugged in after the end of the stream")
		}
	})
}

var _ io.ReadWriteCloser = stream{}
