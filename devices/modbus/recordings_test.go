package modbus_test

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"plumbline/devices/devicetest"
	"plumbline/devices/modbus"
)

var (
	junk     = regexp.MustCompile(`^(>>>|<<<|->|-<)|^:\d\d\.\d+ +|0x|[: \r\n]`)
	hexLine  = regexp.MustCompile(`^(:\d\d\.\d+ +)?(>>> |<<< |->|-<)?(0x)?[0-9A-Fa-f]{2}[0-9A-Fa-fx: ]*\.*$`)
	prefixes = regexp.MustCompile(`^(:\d\d\.\d+ +)?(>>> |<<< |->|-<)?`)
)

// TestRecordedFrames judges the frames of real units, one a line in hexadecimal,
// by their CRC.
func TestRecordedFrames(t *testing.T) {
	for _, c := range []struct {
		file                          string
		good, bad, exceptions, masked int
	}{
		{"jnge-g-series-traffic.txt", 507, 0, 0, 0},
		{"jnge-g-series-settings-frames.txt", 117, 0, 0, 0},
		{"seplos-v3-SP05B-all-frames.txt", 39, 168, 28, 0},
		{"seplos-v3-SP05B-error-responses.txt", 28, 0, 28, 0},
		{"solis-rhi-packet-log.md.txt", 42, 0, 1, 14},
	} {
		t.Run(c.file, func(t *testing.T) {
			var good, bad, exceptions, masked int
			for raw := range bytes.Lines(devicetest.RecordingBytes(t, "modbus", c.file)) {
				line := strings.TrimSpace(string(raw))
				if strings.HasSuffix(line, "....") || strings.HasSuffix(line, "xxxx") {
					masked++ // by its author
					continue
				}
				if !hexLine.MatchString(line) {
					continue
				}
				frame, err := hex.DecodeString(junk.ReplaceAllString(prefixes.ReplaceAllString(line, ""), ""))
				if err != nil || len(frame) < 4 {
					continue // a table of the text
				}
				if modbus.Check(frame) != "" {
					bad++
					continue
				}
				good++
				if frame[1]&0x80 != 0 {
					exceptions++
				}
			}
			if good != c.good || bad != c.bad || exceptions != c.exceptions || masked != c.masked {
				t.Errorf("%d good, %d bad, %d exceptions, %d masked; provenance says %+v", good, bad, exceptions, masked, c)
			}
		})
	}
}

// TestRecordedInverter lets the master ask a Solis inverter what its data logger
// asked it, and read the answers that were recorded.
func TestRecordedInverter(t *testing.T) {
	log := string(devicetest.RecordingBytes(t, "modbus", "solis-rhi-packet-log.md.txt"))
	master, err := modbus.NewMaster(modbus.Map{Unit: 1, Registers: []modbus.Register{
		{Name: "model", Kind: modbus.Input, Address: 33000}, {Name: "old_model", Kind: modbus.Input, Address: 2999}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range master.Round() {
		text := strings.ToUpper(hex.EncodeToString(r.Bytes))
		_, after, found := strings.Cut(log, "```\n->"+text+"\n-<")
		if !found {
			t.Fatalf("the logger did not ask %s as %s does", text, r.Name)
		}
		answer, err := hex.DecodeString(after[:strings.IndexByte(after, '\n')])
		if err != nil {
			t.Fatal(err)
		}
		a := master.Answer(r, answer, false)
		if strings.Contains(r.Name, "33000") && (len(a.Values) != 1 || a.Values[0].Number != 0x3105) {
			t.Errorf("model: %+v, want 3105 (hexadecimal)", a)
		}
		if strings.Contains(r.Name, "2999") && !strings.Contains(a.Reason, "illegal data address") {
			t.Errorf("old model: %+v, want the exception", a)
		}
	}
}
