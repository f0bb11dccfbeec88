package usbip_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/usbip"
)

// kernel is the other end of the stream, as vhci_hcd speaks it.
type kernel struct {
	t    *testing.T
	conn net.Conn
	seq  uint32
	ends chan error // what Serve returned

	answers map[uint32]answer
}

type answer struct {
	status int32
	moved  int
	data   []byte
}

// plug serves the adapter until the test ends or pull is called.
func plug(t *testing.T, a *usbip.Adapter) *kernel {
	t.Helper()
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	k := &kernel{t: t, conn: ours, ends: make(chan error, 1), answers: map[uint32]answer{}}
	go func() { k.ends <- a.Serve(ctx, theirs) }()
	t.Cleanup(func() {
		cancel()
		_ = ours.Close()
	})
	if err := ours.SetDeadline(time.Now().Add(devicetest.Patience)); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the adapter to be plugged in", a.Plugged)
	return k
}

// command builds a submit; setup is eight bytes or nil.
func (k *kernel) command(in bool, ep uint32, length int, setup, data []byte) []byte {
	k.seq++
	direction := uint32(0)
	if in {
		direction = 1
	}
	var b []byte
	for _, v := range []uint32{1, k.seq, 2, direction, ep, 0, uint32(length), 0, 0xFFFFFFFF, 0} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(append(b, setup...), make([]byte, 8-len(setup))...)
	return append(b, data...)
}

func (k *kernel) send(b []byte) uint32 {
	k.t.Helper()
	if _, err := k.conn.Write(b); err != nil {
		k.t.Fatalf("the adapter did not take a command: %v", err)
	}
	return k.seq
}

// submit of an IN transfer; its answer is awaited by its number.
func (k *kernel) submit(ep uint32, length int) uint32 {
	k.t.Helper()
	return k.send(k.command(true, ep, length, nil, nil))
}

// await reads answers until that of seq.
func (k *kernel) await(seq uint32) answer {
	k.t.Helper()
	for {
		if a, there := k.answers[seq]; there {
			delete(k.answers, seq)
			return a
		}
		var h [48]byte
		if _, err := io.ReadFull(k.conn, h[:]); err != nil {
			k.t.Fatalf("no answer to command %d: %v", seq, err)
		}
		word := func(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }
		a := answer{status: int32(word(20)), moved: int(word(24))}
		switch word(0) {
		case 3:
			if word(4)&dataless == 0 { // an answer to an OUT transfer has no bytes
				a.data = make([]byte, a.moved)
				if _, err := io.ReadFull(k.conn, a.data); err != nil {
					k.t.Fatal(err)
				}
			}
		case 4:
		default:
			k.t.Fatalf("an answer with code %#x", word(0))
		}
		k.answers[word(4)] = a
	}
}

// dataless marks the numbers of OUT transfers.
const dataless = 1 << 30

// out submits an OUT transfer and returns its answer.
func (k *kernel) out(ep uint32, setup, data []byte) answer {
	k.t.Helper()
	b := k.command(false, ep, len(data), setup, data)
	seq := k.seq | dataless
	binary.BigEndian.PutUint32(b[4:], seq)
	k.send(b)
	return k.await(seq)
}

// ask sends a control transfer that reads.
func (k *kernel) ask(setup ...byte) answer {
	k.t.Helper()
	length := int(binary.LittleEndian.Uint16(setup[6:]))
	return k.await(k.send(k.command(true, 0, length, setup, nil)))
}

// unlink takes a transfer back.
func (k *kernel) unlink(victim uint32) answer {
	k.t.Helper()
	k.seq++
	var b []byte
	for _, v := range []uint32{2, k.seq, 2, 0, 0, victim, 0, 0, 0, 0, 0, 0} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return k.await(k.send(b))
}

func adapter(t *testing.T, o usbip.Options) *usbip.Adapter {
	t.Helper()
	a, err := usbip.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDescriptorsAreThoseOfTheAdapter(t *testing.T) {
	for _, c := range []struct {
		model      usbip.Model
		vid, pid   uint16
		class      byte
		interfaces byte
		endpoints  []byte
	}{
		{usbip.FTDI, 0x0403, 0x6001, 0, 1, []byte{0x81, 0x02}},
		{usbip.ACM, 0x2341, 0x0043, 2, 2, []byte{0x83, 0x01, 0x82}},
	} {
		t.Run(string(c.model), func(t *testing.T) {
			k := plug(t, adapter(t, usbip.Options{Model: c.model, Serial: "SN-Ä", Product: "Probe"}))
			d := k.ask(0x80, 6, 0, 1, 0, 0, 64, 0).data
			if len(d) != 18 || d[4] != c.class || binary.LittleEndian.Uint16(d[8:]) != c.vid || binary.LittleEndian.Uint16(d[10:]) != c.pid {
				t.Errorf("device descriptor % x", d)
			}
			if d[14] != 0 || d[15] != 2 || d[16] != 3 {
				t.Errorf("strings %d %d %d of a device without maker", d[14], d[15], d[16])
			}
			// The kernel asks for the head, and then for as much as that says.
			head := k.ask(0x80, 6, 0, 2, 0, 0, 9, 0).data
			total := binary.LittleEndian.Uint16(head[2:])
			config := k.ask(0x80, 6, 0, 2, 0, 0, byte(total), 0).data
			if len(head) != 9 || len(config) != int(total) || config[4] != c.interfaces {
				t.Fatalf("configuration % x, head % x", config, head)
			}
			var endpoints []byte
			for at := 0; at < len(config); at += int(config[at]) {
				if config[at+1] == 5 {
					endpoints = append(endpoints, config[at+2])
				}
			}
			if !bytes.Equal(endpoints, c.endpoints) {
				t.Errorf("endpoints % x, want % x", endpoints, c.endpoints)
			}
			if got := k.ask(0x80, 6, 3, 3, 9, 4, 255, 0).data; !bytes.Equal(got, []byte{10, 3, 'S', 0, 'N', 0, '-', 0, 0xC4, 0}) {
				t.Errorf("serial number % x", got)
			}
			if got := k.ask(0x80, 6, 1, 3, 9, 4, 255, 0); got.status != -32 {
				t.Errorf("a string that is not there: %+v, want a stall", got)
			}
			if got := k.ask(0x80, 6, 0, 6, 0, 0, 10, 0); got.status != -32 {
				t.Errorf("a descriptor that is not there: %+v, want a stall", got)
			}
			if got := k.out(0, []byte{0, 9, 1, 0, 0, 0, 0, 0}, nil); got.status != 0 {
				t.Errorf("set configuration: %+v", got)
			}
			if got := k.out(0, []byte{0, 9, 5, 0, 0, 0, 0, 0}, nil); got.status != -32 {
				t.Errorf("set configuration 5: %+v, want a stall", got)
			}
			if got := k.ask(0x80, 8, 0, 0, 0, 0, 1, 0).data; !bytes.Equal(got, []byte{1}) {
				t.Errorf("configuration %v, want 1", got)
			}
		})
	}
}

func TestUnlinkTakesBackWhatWaits(t *testing.T) {
	a := adapter(t, usbip.Options{Model: usbip.ACM})
	k := plug(t, a)
	first, second := k.submit(2, 64), k.submit(2, 64)
	if got := k.unlink(first); got.status != -104 {
		t.Errorf("unlink of a waiting transfer: status %d, want -104", got.status)
	}
	if _, err := a.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if got := k.await(second); string(got.data) != "one\n" {
		t.Errorf("the transfer behind it got %q", got.data)
	}
	if got := k.unlink(second); got.status != 0 {
		t.Errorf("unlink of an answered transfer: status %d, want 0", got.status)
	}
}

func TestBadStreamsEndThePlugging(t *testing.T) {
	for name, words := range map[string][]uint32{
		"code":        {7},
		"direction":   {1, 1, 2, 2},
		"endpoint":    {1, 1, 2, 1, 16},
		"length":      {1, 1, 2, 0, 2, 0, usbip.MaxTransfer + 1, 0, 0xFFFFFFFF},
		"isochronous": {1, 1, 2, 1, 1, 0, 64, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			a := adapter(t, usbip.Options{Model: usbip.FTDI})
			k := plug(t, a)
			var b []byte
			for _, v := range words {
				b = binary.BigEndian.AppendUint32(b, v)
			}
			k.send(append(b, make([]byte, 48-len(b))...))
			if err := <-k.ends; !errors.Is(err, usbip.ErrProtocol) {
				t.Errorf("Serve returned %v, want ErrProtocol", err)
			}
			if a.Plugged() {
				t.Error("it is plugged in still")
			}
		})
	}
}

func TestAKernelThatLetsTransfersPileUpIsRefused(t *testing.T) {
	k := plug(t, adapter(t, usbip.Options{Model: usbip.ACM}))
	for range 1024 {
		k.submit(2, 64)
	}
	k.submit(2, 64)
	if err := <-k.ends; !errors.Is(err, usbip.ErrProtocol) {
		t.Errorf("Serve returned %v, want ErrProtocol", err)
	}
}

func TestTheEndOfTheStreamIsAnUnplug(t *testing.T) {
	a := adapter(t, usbip.Options{Model: usbip.ACM})
	k := plug(t, a)
	if err := a.Serve(t.Context(), k.conn); !errors.Is(err, usbip.ErrPlugged) {
		t.Errorf("a second plugging: %v, want ErrPlugged", err)
	}
	if err := <-k.ends; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("an unplugged adapter took a byte")
	}
	if s := a.Stats(); s.Plugs != 1 || s.Dropped != 1 {
		t.Errorf("stats %+v", s)
	}
	plug(t, a)
	if s := a.Stats(); s.Plugs != 2 {
		t.Errorf("stats after the replug %+v", s)
	}
}
