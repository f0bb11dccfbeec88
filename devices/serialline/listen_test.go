package serialline_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/inventory"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
)

// speak lets a twin talk until the test ends as a UART does: what it says is
// garbage unless the port has its speed.
func speak(t *testing.T, twin *ptytwin.Twin, speed int, line func(i int) []byte) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		written := uint64(0)
		for i := 0; ; i++ {
			text := bytes.Repeat(line(i), 8)
			if _, baud := twin.Framing(); baud != speed {
				text = bytes.Map(func(r rune) rune { return 0x80 | r>>1 }, text)
			}
			if twin.Stats().Bytes == written { // a UART keeps nothing back for later
				n, err := twin.Write(text)
				if err != nil {
					return
				}
				written += uint64(n)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() {
		stop()
		done.Wait()
	})
}

// patient waits long: it is ended by what is heard, not by time.
var patient = serialline.Listening{Silence: devicetest.Patience, Dwell: devicetest.Patience}

func TestListenFindsSpeedAndCodec(t *testing.T) {
	for _, c := range []struct {
		codec string
		baud  int
		line  func(i int) []byte
	}{
		{"nmea0183", 4800, func(i int) []byte { return codec.AppendNMEA(nil, fmt.Sprintf("GPHDT,%d.0,T", i)) }},
		{"linejson+crc", 115200, func(i int) []byte {
			return codec.AppendLineJSON(nil, "n", uint64(i), []devices.Value{{Name: "t", Number: 21.5}})
		}},
		{"dsmr-p1", 115200, func(i int) []byte {
			return codec.AppendP1(nil, "ISK5\\2M550T", []codec.Object{{ID: "1-0:1.8.1", Text: fmt.Sprintf("%010.3f*kWh", float64(i))}})
		}},
		{"sds011", 9600, func(i int) []byte { return codec.AppendSDS011(nil, float64(i%100), 20, 7) }},
		// Not 38400: a new pty has that speed, and what is said before it is opened would be no garbage.
		{"keyvalue", 19200, func(i int) []byte { return fmt.Appendf(nil, "temp=%d.5 hum=40\r\n", i) }},
		{"linejson", 57600, func(i int) []byte { return fmt.Appendf(nil, "{\"t\":%d}\n", i) }},
	} {
		t.Run(c.codec, func(t *testing.T) {
			twin := newTwin(t, ptytwin.Options{Unpaced: true})
			speak(t, twin, c.baud, c.line)
			g, err := serialline.Listen(t.Context(), twin.Path(), patient)
			if err != nil || g.Codec != c.codec || g.Baud != c.baud || g.Good < 2 || g.Bytes == 0 {
				t.Errorf("heard %q %d good %d of %d bytes, %v, want %s at %d; %+v", g.Codec, g.Baud, g.Good, g.Bytes, err, c.codec, c.baud, twin.Stats())
			}
			if n := len(twin.Received()); n != 0 {
				t.Errorf("listening sent %d bytes", n)
			}
		})
	}
}

func TestListenToASilentPortAndToGarbage(t *testing.T) {
	silent := newTwin(t, ptytwin.Options{})
	g, err := serialline.Listen(t.Context(), silent.Path(), serialline.Listening{Silence: 20 * time.Millisecond})
	if err != nil || g.Bytes != 0 || g.Understood() {
		t.Errorf("silent port: %+v, %v", g, err)
	}
	babble := newTwin(t, ptytwin.Options{Unpaced: true})
	speak(t, babble, 1, func(int) []byte { return []byte("hello world\r\n") })
	g, err = serialline.Listen(t.Context(), babble.Path(), serialline.Listening{Speeds: []int{9600, 4800}, Silence: devicetest.Patience, Dwell: 30 * time.Millisecond})
	if err != nil || g.Bytes == 0 || g.Understood() {
		t.Errorf("garbage: %+v, %v", g, err)
	}
}

func TestListenAllFillsTheInventory(t *testing.T) {
	a := newAdapters(t)
	gps, mute := newTwin(t, ptytwin.Options{Unpaced: true}), newTwin(t, ptytwin.Options{})
	a.plug(gps, "ttyUSB0", "SN-A", "1-1")
	a.plug(mute, "ttyUSB1", "SN-B", "1-2")
	a.plug(mute, "ttyUSB2", "SN-C", "1-3")
	speak(t, gps, 9600, func(i int) []byte { return codec.AppendNMEA(nil, fmt.Sprintf("GPHDT,%d.0,T", i)) })
	ports, err := a.inv.Ports()
	if err != nil || len(ports) != 3 {
		t.Fatalf("%+v, %v", ports, err)
	}
	ports[2].Problem = "it is held"
	serialline.ListenAll(t.Context(), ports, func(p inventory.Port) bool { return p.Serial == "SN-A" }, patient)
	serialline.ListenAll(t.Context(), ports, func(p inventory.Port) bool { return p.Serial != "SN-A" }, serialline.Listening{Silence: 20 * time.Millisecond})
	if g := ports[0].Guess; g == nil || g.Codec != "nmea0183" || g.Baud != 9600 {
		t.Errorf("gps: %+v %q", g, ports[0].Problem)
	}
	if g := ports[1].Guess; g == nil || g.Bytes != 0 {
		t.Errorf("silent port: %+v %q", g, ports[1].Problem)
	}
	if ports[2].Guess != nil {
		t.Error("a held port was listened to")
	}
	if text := ports[0].YAML("gps"); !strings.Contains(text, "baud: 9600\n    codec: nmea0183   # heard ") {
		t.Errorf("entry is\n%s", text)
	}
	devicetest.Eventually(t, "the ports to be free again", func() bool {
		now, err := a.inv.Ports()
		return err == nil && now[0].Problem == "" && now[1].Problem == ""
	})
}
