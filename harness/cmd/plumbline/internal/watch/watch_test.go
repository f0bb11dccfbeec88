package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/ptytwin"
	"plumbline/harness/cmd/plumbline/internal/source"
)

// open opens a description and closes it with the test.
func open(t *testing.T, text string) devices.Device {
	t.Helper()
	spec, err := source.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := source.Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Errorf("close %s: %v", text, err)
		}
	})
	return dev
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := Limit(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestWatchASimulatedDevice(t *testing.T) {
	var out bytes.Buffer
	if err := Watch(limited(t), &out, open(t, "sim:vibration?id=motor&seed=3"), Options{Count: 3}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "watching motor") || !strings.Contains(lines[0], "mode sim") {
		t.Fatalf("got\n%s", out.String())
	}
	if !strings.Contains(lines[3], "#3") || !strings.Contains(lines[3], "=") {
		t.Errorf("third sample: %q", lines[3])
	}
	if want := "3 samples, 0 damaged, 0 without check, 0 cut, 0 dropped unread"; lines[4] != want {
		t.Errorf("totals %q, want %q", lines[4], want)
	}
}

func TestWatchJSONIsOneObjectALine(t *testing.T) {
	var out bytes.Buffer
	if err := Watch(limited(t), &out, open(t, "sim:vibration"), Options{Count: 2, JSON: true}); err != nil {
		t.Fatal(err)
	}
	decoder, seen := json.NewDecoder(&out), 0
	for decoder.More() {
		var l line
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		seen++
		if l.Seq != uint64(seen) || len(l.Values) == 0 {
			t.Errorf("sample %d: %+v", seen, l)
		}
	}
	if seen != 2 {
		t.Errorf("%d objects, want 2", seen)
	}
	if got := finite(math.Inf(1)); got != "+Inf" {
		t.Errorf("infinity is %v in JSON", got)
	}
}

func TestWatchARecordingShowsWhatWasRefused(t *testing.T) {
	good := string(codec.AppendNMEA(nil, "GPHDT,274.07,T"))
	path := filepath.Join(t.TempDir(), "track.nmea")
	if err := os.WriteFile(path, []byte(good+strings.Replace(good, "274", "275", 1)+good), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Watch(limited(t), &out, open(t, "replay:"+path+"?speed=100"), Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mode replay", "refused: ", `"$GPHDT,275.07,T`, "2 samples, 1 damaged"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

func TestWatchASerialPort(t *testing.T) {
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Unpaced: true})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer twin.Close()
	dev := open(t, "serial:"+twin.Path()+"?baud=115200&codec=nmea0183&id=gps")
	for range 3 {
		if _, err := twin.Write(codec.AppendNMEA(nil, "GPHDT,274.07,T")); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := Watch(limited(t), &out, dev, Options{Count: 2}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "watching gps") || strings.Count(out.String(), "274.07") != 2 {
		t.Errorf("got\n%s", out.String())
	}
}

func TestWatchThisMachine(t *testing.T) {
	var out bytes.Buffer
	if err := Watch(limited(t), &out, open(t, "host:"), Options{Count: 1}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "mode real") || !strings.Contains(out.String(), "1 samples") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := Watch(ctx, &out, open(t, "sim:door"), Options{}); err != nil {
		t.Errorf("an interruption is no failure: %v", err)
	}
	if !strings.Contains(out.String(), "0 samples") {
		t.Errorf("no totals:\n%s", out.String())
	}
}

// broken fails in the middle, as a device that vanished.
type broken struct {
	devices.Device
	left int
}

func (b *broken) Read(ctx context.Context) (devices.Sample, error) {
	if b.left--; b.left < 0 {
		return devices.Sample{}, devices.ErrUnplugged
	}
	return b.Device.Read(ctx)
}

func TestWatchReportsADeviceThatVanishes(t *testing.T) {
	var out bytes.Buffer
	err := Watch(limited(t), &out, &broken{Device: open(t, "sim:vibration"), left: 1}, Options{})
	if !errors.Is(err, devices.ErrUnplugged) || !strings.Contains(out.String(), "1 samples") {
		t.Errorf("%v after\n%s", err, out.String())
	}
}

func TestRefusedFramesBeyondTheKeptAreCounted(t *testing.T) {
	var out bytes.Buffer
	v := &viewer{out: &out}
	v.rejected([]devices.Damage{{Reason: "checksum"}}, 5)
	v.rejected([]devices.Damage{{Reason: "checksum"}}, 5)
	if got := strings.Count(out.String(), "refused: checksum"); got != 1 || !strings.Contains(out.String(), "4 refused frames are not shown") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestOpenRefuses(t *testing.T) {
	for text, usage := range map[string]bool{
		"sim:submarine":                 true,
		"serial:/dev/x?codec=morse":     true,
		"replay:x?codec=morse":          true,
		"replay:/nonexistent/file.nmea": false,
		"serial:/nonexistent/port":      false,
	} {
		if runtime.GOOS == "windows" && !usage {
			continue
		}
		spec, err := source.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Open(t.Context(), spec); err == nil || errors.Is(err, source.ErrSpec) != usage {
			t.Errorf("Open(%q) = %v, want a usage error: %v", text, err, usage)
		}
	}
}
