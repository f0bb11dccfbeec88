package parity_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/modbus"
	"plumbline/devices/replay"
	"plumbline/devices/simulated"
)

// account is what is known of a stream.
type account struct {
	good, bad int
	units     map[string]string     // by value name
	values    map[string][2]float64 // least and most, of numbers
	steps     []time.Duration       // between two instants at which it spoke
}

func (a *account) take(values []devices.Value) {
	for _, v := range values {
		if v.IsText {
			continue
		}
		r, known := a.values[v.Name]
		if !known {
			r = [2]float64{math.Inf(1), math.Inf(-1)}
		}
		a.units[v.Name], a.values[v.Name] = v.Unit, [2]float64{min(r[0], v.Number), max(r[1], v.Number)}
	}
}

// judge counts the frames of a stream.
func judge(c codec.Codec, stream []byte) *account {
	a := &account{units: map[string]string{}, values: map[string][2]float64{}}
	decoder, framer := codec.NewDecoder(c), c.NewFramer()
	framer.Push(0, stream, func(f codec.Frame) {
		values, err := decoder.Decode(f.Raw)
		switch reject, _ := err.(*codec.Reject); { //nolint:errorlint // always this type, by contract
		case f.Fault != "" || err != nil && reject.Class == codec.Damaged:
			a.bad++
		case err == nil:
			a.good++
			a.take(values)
		}
	})
	return a
}

func (a *account) period() time.Duration {
	if len(a.steps) == 0 {
		return 0
	}
	slices.Sort(a.steps)
	return a.steps[len(a.steps)/2]
}

// samples is how often a twin speaks here.
const samples = 200

// twinOf lets the twin of a protocol speak, with one bit of every n-th utterance
// flipped; n 0 flips none. It returns how many were hit.
func twinOf(t *testing.T, c codec.Codec, n uint64) (*account, int) {
	t.Helper()
	now := time.Unix(1_700_000_000, 0)
	twin, say, err := simulated.Speak(c, "twin", 7, simulated.Options{}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	var stream []byte
	var steps []time.Duration
	hit := 0
	for seq := uint64(1); seq <= samples; seq++ {
		due := twin.Schedule().Instant(seq, 7)
		steps = append(steps, due-twin.Schedule().Instant(max(seq-1, 1), 7))
		p := say(twin.Sample(seq, due))
		if n > 0 && seq%n == 2 { // not the last: what is held then is no frame yet
			p[spot(p)] ^= 1
			hit++
		}
		stream = append(stream, p...)
	}
	a := judge(c, stream)
	a.steps = steps[1:]
	return a, hit
}

// spot is a digit in the middle of a text, or the middle of a frame: what an error
// there damages is the frame and not its end.
func spot(p []byte) int {
	for i := len(p) / 3; i < len(p); i++ {
		if p[i] >= '0' && p[i] <= '9' {
			return i
		}
	}
	return len(p) / 2
}

// checked are the protocols whose frames carry a check.
func checked(c codec.Codec) bool {
	return !slices.Contains([]string{"linejson", "csv", "tsv", "keyvalue", "senml+json", "candump"}, c.Name())
}

func row(t *testing.T, who, what string, good, bad int, period time.Duration, note string) {
	t.Helper()
	every := "-"
	if period > 0 {
		every = period.Round(time.Millisecond).String()
	}
	t.Logf("%-10s %-52s good %6d  bad %4d  every %-7s %s", who, what, good, bad, every, note)
}

// TestTwinsAreGoodAndTheirDamageIsFound: no frame of a twin is refused, and each in
// which a bit was flipped is.
func TestTwinsAreGoodAndTheirDamageIsFound(t *testing.T) {
	for _, c := range codec.All() {
		if codec.Whole(c) {
			continue
		}
		clean, _ := twinOf(t, c, 0)
		row(t, "twin", c.Name(), clean.good, clean.bad, clean.period(), "")
		if clean.bad != 0 || clean.good < samples {
			t.Errorf("%s: %d good, %d bad of %d", c.Name(), clean.good, clean.bad, samples)
		}
		if !checked(c) {
			continue
		}
		hurt, hit := twinOf(t, c, 4)
		row(t, "twin+noise", c.Name(), hurt.good, hurt.bad, 0, fmt.Sprintf("%d bits flipped", hit))
		if hurt.good != clean.good-hit || hurt.bad < hit {
			t.Errorf("%s: %d bits flipped, %d good of %d, %d bad", c.Name(), hit, hurt.good, clean.good, hurt.bad)
		}
	}
}

func TestModbusTwin(t *testing.T) {
	m := modbus.Map{Unit: 17, Registers: []modbus.Register{
		{Name: "outside", Kind: modbus.Input, Address: 100, Type: "i16", Scale: 0.1, Unit: "Cel"},
		{Name: "energy", Kind: modbus.Input, Address: 101, Type: "u32", Order: "cdab", Scale: 0.01, Unit: "kW.h"}}}
	_, answer := modbus.NewTwin(m, 3)
	var good, bad, hit int
	for i := range samples {
		master, err := modbus.NewMaster(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range master.Round() {
			p := answer(r.Bytes)
			if i%4 == 3 {
				p[len(p)/2] ^= 1
				hit++
			}
			if modbus.Check(p) == "" {
				good++
			} else {
				bad++
			}
		}
	}
	row(t, "twin+noise", "modbus", good, bad, 0, fmt.Sprintf("%d bits flipped", hit))
	if bad != hit || good == 0 {
		t.Errorf("%d good, %d bad, %d flipped", good, bad, hit)
	}
}

// TestRecordingsSayWhatTheirTwinsSay prints what every recording holds and compares
// it with the twin of its protocol: the same names have the same units, and the
// twin's error rate of 0 is the recording's, but for the recordings of faults.
func TestRecordingsSayWhatTheirTwinsSay(t *testing.T) {
	dir := devicetest.Recording(t)
	for _, group := range []struct {
		files string
		codec codec.Codec
		bad   int // frames that failed their check, all files together, as their provenance counts them
	}{
		{"nmea/*.log", codec.NMEA0183{}, 374},
		{"p1/*.txt", codec.P1{}, 3}, // two of them cut by the beginning of the recording
		{"pm-frames/SDS01x.hexdump", codec.SDS011{}, 0},
		{"pm-frames/PMSx003.hexdump", codec.PMS5003, 0},
		{"pm-frames/PMS5003T.hexdump", codec.PMS5003T, 0},
		{"pm-frames/PMS3003.hexdump", codec.PMS3003, 0},
		{"can/*", codec.CAN{}, -1},
		{"env-csv/*.csv", codec.Table{}, 0},
		{"machine-csv/*.csv", codec.Table{}, 0},
		{"mqtt-ws-pcap/*.csv", codec.Table{}, 0},
	} {
		files, err := filepath.Glob(filepath.Join(dir, group.files))
		if err != nil || len(files) == 0 {
			t.Errorf("no recording is %s: %v", group.files, err)
		}
		twin, _ := twinOf(t, group.codec, 0)
		row(t, "twin", group.codec.Name(), twin.good, twin.bad, twin.period(), "")
		shared, bad := 0, 0
		for _, file := range files {
			a := recorded(t, group.codec, file)
			same, note := compare(t, twin, a, filepath.Base(file))
			shared += same
			bad += a.bad
			pace(t, group.codec, a, filepath.Base(file))
			row(t, "recording", filepath.Base(file), a.good, a.bad, a.period(), note)
		}
		if _, table := group.codec.(codec.Table); shared == 0 && !table { // whose columns are those of its owner
			t.Errorf("%s: the twin and its recordings have no value in common", group.codec.Name())
		}
		if group.bad >= 0 && bad != group.bad {
			t.Errorf("%s: %d bad frames; provenance says %d", group.codec.Name(), bad, group.bad)
		}
	}
}

// compare holds the units of what both say against each other.
func compare(t *testing.T, twin, a *account, file string) (shared int, note string) {
	t.Helper()
	var ranges []string
	for _, name := range slices.Sorted(maps.Keys(twin.units)) {
		unit, also := a.units[name]
		if !also {
			continue
		}
		shared++
		if unit != twin.units[name] {
			t.Errorf("%s: %s is in %q, the twin says %q", file, name, unit, twin.units[name])
		}
		if len(ranges) < 2 {
			ranges = append(ranges, fmt.Sprintf("%s %.5g…%.5g (twin %.5g…%.5g)", name, a.values[name][0], a.values[name][1], twin.values[name][0], twin.values[name][1]))
		}
	}
	return shared, strings.Join(ranges, ", ")
}

// recorded reads a recording, a hex dump or the bytes as they are.
func recorded(t *testing.T, c codec.Codec, file string) *account {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".hexdump") {
		return judge(c, undumped(t, text))
	}
	a := judge(c, text)
	if _, nmea := c.(codec.NMEA0183); !nmea {
		return a
	}
	rec, err := replay.Load(file, replay.LoadOptions{})
	if err != nil {
		return a // nothing in it; it was counted
	}
	a.steps = steps(rec)
	return a
}

// steps are the times between the instants that the sentences of a recording carry:
// lines of one instant are a burst.
func steps(rec *replay.Recording) (all []time.Duration) {
	last, utc := time.Duration(0), math.NaN()
	for _, e := range rec.Entries {
		values, _ := rec.Codec.Decode(e.Raw)
		for _, v := range values {
			if v.Name != "utc" || v.IsText || v.Number == utc {
				continue
			}
			if !math.IsNaN(utc) {
				all = append(all, e.Offset-last)
			}
			last, utc = e.Offset, v.Number
		}
	}
	return all
}

func undumped(t *testing.T, dump []byte) []byte {
	t.Helper()
	var out []byte
	for line := range bytes.Lines(dump) {
		_, rest, _ := strings.Cut(string(line), ": ")
		digits, _, _ := strings.Cut(rest, "  ")
		p, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, p...)
	}
	return out
}

// hexLine is a frame as the authors of Modbus recordings write one: with or without
// an instant, a direction and 0x.
var (
	hexLine = regexp.MustCompile(`^(:\d\d\.\d+ +)?(>>> |<<< |->|-<)?(0x)?[0-9A-Fa-f]{2}[0-9A-Fa-fx: ]*\.*$`)
	before  = regexp.MustCompile(`^(:\d\d\.\d+ +)?(>>> |<<< |->|-<)?`)
	between = regexp.MustCompile(`0x|[: .\r\n]`)
)

// TestModbusRecordings prints how many frames of real units pass their CRC.
func TestModbusRecordings(t *testing.T) {
	dir := devicetest.Recording(t)
	for file, want := range map[string][2]int{ // as their provenance says
		"jnge-g-series-traffic.txt": {507, 0}, "jnge-g-series-settings-frames.txt": {117, 0}, "seplos-v3-SP05B-all-frames.txt": {39, 168},
		"seplos-v3-SP05B-error-responses.txt": {28, 0}, "solis-rhi-packet-log.md.txt": {42, 0},
	} {
		text, err := os.ReadFile(filepath.Join(dir, "modbus", file))
		if err != nil {
			t.Fatal(err)
		}
		good, bad := 0, 0
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if strings.HasSuffix(line, "....") || !hexLine.MatchString(line) { // masked by its author, or text
				continue
			}
			frame, err := hex.DecodeString(between.ReplaceAllString(before.ReplaceAllString(line, ""), ""))
			switch {
			case err != nil || len(frame) < 4: // a table of the text
			case modbus.Check(frame) == "":
				good++
			default:
				bad++
			}
		}
		row(t, "recording", file, good, bad, 0, "")
		if good != want[0] || bad != want[1] {
			t.Errorf("%s: %d good, %d bad; provenance says %v", file, good, bad, want)
		}
	}
}
