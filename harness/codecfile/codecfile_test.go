package codecfile_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/harness/codecfile"
)

// examples are the descriptions that the manual shows, one a file.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	return files
}

func TestExamplesAreUnderstood(t *testing.T) {
	for _, f := range examples(t) {
		p, err := codecfile.Choose(f)
		if err != nil {
			t.Error(err)
			continue
		}
		if p.Name != strings.TrimSuffix(filepath.Base(f), ".yaml") || (p.Codec == nil) == (p.Poll == nil) {
			t.Errorf("%s: %+v", f, p)
		}
		if p.Codec != nil && p.Codec.Name() != p.Name {
			t.Errorf("%s: the codec is called %q", f, p.Codec.Name())
		}
		if p.Poll != nil {
			if asked, _, err := p.Poll(9600); err != nil || asked.Name() != p.Name {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

func TestChooseByName(t *testing.T) {
	p, err := codecfile.Choose("sds011")
	if err != nil || p.Codec.Name() != "sds011" || p.Poll != nil {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := codecfile.Choose("morse"); !errors.Is(err, codecfile.ErrCodec) || !strings.Contains(err.Error(), "known are nmea0183") || !strings.Contains(err.Error(), ".yaml") {
		t.Errorf("%v", err)
	}
	if _, err := codecfile.Choose("absent.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, c := range []struct{ file, old, new, want string }{
		{"hpma115c0", "kind: Codec", "kind: Rig", "hpma115c0:2: kind: "},
		{"hpma115c0", "size: 16", "sise: 16", `hpma115c0:6: unknown key "sise"; did you mean "size"?`},
		{"hpma115c0", "size: 16", "size: 5000", "hpma115c0:6: fixed.size: "},
		{"hpma115c0", `"40 0D 04"`, `"4 0D"`, "fixed.sync: "},
		{"hpma115c0", `  sync: "40 0D 04"` + "\n", "", "fixed.sync: "},
		{"hpma115c0", "sum8-negative", "sum9", "known are xor8"},
		{"hpma115c0", "type: u16be", "type: word", `type "word" is unknown`},
		{"hpma115c0", "at: 3,", "at: 15,", "are not all in the frame of 16"},
		{"hpma115c0", "name: pm25", "name: pm1", "already"},
		{"semicolons", `delimiter: ";"`, `delimiter: ";;"`, "delimited.delimiter: "},
		{"semicolons", `delimiter: ";"`, `delimiter: ","`, "delimited.decimalComma: "},
		{"semicolons", "header: found", "header: first", "delimited.header: "},
		{"heat-pump", "unit: 17", "unit: 0", "modbus.unit: "},
		{"heat-pump", "address: 100", "address: 100000", "modbus.registers: "},
		{"heat-pump", "timeout: 500ms", "timeout: soon", "modbus.timeout: "},
		{"supply", `"MEAS:VOLT?"`, `"MEAS:VOLT"`, "scpi.queries: "},
		{"supply", "scpi:", "scpi:\n  retries: 1", "unknown key"},
	} {
		t.Run(c.file+"/"+c.new, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", c.file+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), c.old, c.new, 1)
			if changed == string(text) {
				t.Fatalf("%q does not stand in the file", c.old)
			}
			if _, err := codecfile.Parse(c.file, []byte(changed)); !errors.Is(err, codecfile.ErrCodec) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for text, want := range map[string]string{
		"apiVersion: plumbline/v1\nkind: Codec\nname: x\n":                           "holds 0 of fixed",
		"apiVersion: plumbline/v1\nkind: Codec\nname: x\npairs: {}\nscpi: {}\n":      "holds 2 of fixed",
		"apiVersion: plumbline/v1\nkind: Codec\nname: \"a b\"\npairs: {check: sum8}": "is no name",
		"apiVersion: plumbline/v1\nkind: Codec\nname: x\npairs: {check: sum}":        "no check is called",
	} {
		if _, err := codecfile.Parse("x", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestDescribedSensorsReadRecordings runs the frames of real sensors through
// codecs that are files.
func TestDescribedSensorsReadRecordings(t *testing.T) {
	for _, c := range []struct {
		file, recording, name string
		first                 float64
	}{
		{"hpma115c0", "HPMA115C0", "pm25", 7},
		{"mh-z19b", "MHZ19B", "co2", 636},
		{"mcu680", "MCU680", "temperature", 24.29},
	} {
		t.Run(c.file, func(t *testing.T) {
			dump := devicetest.RecordingBytes(t, "pm-frames", c.recording+".hexdump")
			p, err := codecfile.Choose("testdata/" + c.file + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			good := 0
			p.Codec.NewFramer().Push(0, unhex(t, dump), func(f codec.Frame) {
				values, err := p.Codec.Decode(f.Raw)
				if err != nil || f.Fault != "" {
					t.Fatalf("% X: %v %s", f.Raw, err, f.Fault)
				}
				for _, v := range values {
					if good == 0 && v.Name == c.name && v.Number != c.first {
						t.Errorf("%s is %v, the table says %v", v.Name, v.Number, c.first)
					}
				}
				good++
			})
			if good != 10 {
				t.Errorf("%d good frames, provenance says 10", good)
			}
		})
	}
}

// unhex reads the bytes of a hex dump: "00000000: 40 0d …  text".
func unhex(tb testing.TB, dump []byte) []byte {
	tb.Helper()
	var out []byte
	for line := range bytes.Lines(dump) {
		_, rest, _ := strings.Cut(string(line), ": ")
		digits, _, _ := strings.Cut(rest, "  ")
		p, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
		if err != nil {
			tb.Fatalf("%q: %v", line, err)
		}
		out = append(out, p...)
	}
	return out
}

// FuzzParse lets any text be a description, and what is taken be used.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte("\xff\x86\x02\x7c\x42\x00\x00\x00\xba;1;2\n"))
	}
	f.Fuzz(func(t *testing.T, text, stream []byte) {
		p, err := codecfile.Parse("x", text)
		if err != nil || p.Codec == nil {
			return
		}
		framer, decoder := p.Codec.NewFramer(), codec.NewDecoder(p.Codec)
		framer.Push(0, stream, func(fr codec.Frame) { _, _ = decoder.Decode(fr.Raw) })
		framer.Rest()
	})
}
