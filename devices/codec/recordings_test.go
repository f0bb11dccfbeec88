package codec_test

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"testing"

	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
)

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

// TestRecordedDust compares the frames of real sensors with the values that were
// published beside them.
func TestRecordedDust(t *testing.T) {
	plantower := map[string]string{"raw01": "pm1_cf1", "raw25": "pm25_cf1", "raw10": "pm10_cf1", "pm01": "pm1", "pm25": "pm25", "pm10": "pm10", "temp": "temperature", "rhum": "humidity"}
	for _, c := range []struct {
		file  string
		codec codec.Codec
		names map[string]string
	}{
		{"SDS01x", codec.SDS011{}, map[string]string{"pm25": "pm25", "pm10": "pm10"}},
		{"PMSx003", codec.PMS5003, plantower},
		{"PMS5003T", codec.PMS5003T, plantower},
		{"PMS3003", codec.PMS3003, plantower},
	} {
		t.Run(c.file, func(t *testing.T) {
			v := judge(t, c.codec, unhex(t, devicetest.RecordingBytes(t, "pm-frames", c.file+".hexdump")), 5)
			if v.counters.Good != 10 || v.counters.Rejected() != 0 {
				t.Fatalf("%+v; provenance says 10 good frames", v.counters)
			}
			compareWithCSV(t, v, devicetest.RecordingBytes(t, "pm-frames", c.file+".csv"), c.names)
		})
	}
}

// compareWithCSV holds samples against the rows of a table.
func compareWithCSV(t *testing.T, v verdict, table []byte, names map[string]string) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(table))
	r.TrimLeadingSpace = true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		for j, column := range rows[0] {
			name := names[column]
			if name == "" {
				continue
			}
			want, err := strconv.ParseFloat(row[j], 64)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := find(v.samples[i].Values, name)
			if !ok || math.Abs(got.Number-want) > 0.051 { // the table is rounded to 0.1
				t.Errorf("frame %d: %s is %+v, the table says %v", i+1, name, got, want)
			}
		}
	}
}

func TestRecordedTelegrams(t *testing.T) {
	for _, c := range []struct {
		file                                string
		good, damaged, unchecked, cutAtMost uint64
	}{
		{"dsmr-tools-ttyUSB0-raw.txt", 566, 0, 0, 2}, // begins in mid-telegram
		{"dsmr-tools-ttyUSB0-mini.txt", 2, 0, 0, 2},
		{"dsmrparsernet-v2_2_ok.txt", 0, 0, 1, 0},
		{"dsmrparsernet-v3_ok.txt", 0, 0, 1, 0},
		{"dsmrparsernet-v4_2_ok.txt", 1, 0, 0, 0},
		{"lvzon-p1-example-3.0.txt", 0, 0, 1, 0},
		{"lvzon-p1-example-5.0.txt", 0, 1, 0, 0},
	} {
		t.Run(c.file, func(t *testing.T) {
			v := judge(t, codec.P1{}, devicetest.RecordingBytes(t, "p1", c.file), 64)
			cut := v.counters.Partial
			for _, d := range v.damages {
				if strings.HasPrefix(d.Reason, "does not begin with /") {
					cut++
				}
			}
			n := v.counters
			if n.Good != c.good || n.Damaged+n.Partial-cut != c.damaged || n.Unchecked != c.unchecked || cut > c.cutAtMost {
				t.Errorf("%+v, %d of them cut; provenance says %+v", n, cut, c)
			}
			for _, s := range v.samples {
				if p, ok := find(s.Values, "power_delivered"); !ok || p.Unit != "kW" || p.IsText {
					t.Fatalf("power_delivered is %+v", p)
				}
			}
		})
	}
}

func TestRecordedCAN(t *testing.T) {
	whole := []string{"pgn", "source", "destination", "priority"}
	for _, c := range []struct {
		file        string
		good, other uint64 // other: lines that are no frame, comments of the file apart
		identifiers int
		by          []string // what an identifier is
	}{
		{"canboat-candumpSample1.txt", 6026, 1, 28, whole},
		{"canboat-candumpSample3.txt", 2368, 0, 33, whole},
		{"canboat-actisense-522.candump.log", 106, 0, 14, whole},
		{"canboat-merrimac-ydwg-2020.raw", 914, 0, 124, whole},
		{"canboat-furuno-fap7011c-autopilot-off-then-on.raw", 469, 0, 28, whole[:1]},
		// Lines that another line has cut into are damaged, as recorded.
		{"canboat-ikonvert.log", 8923, 295, 19, whole[:1]},
		{"gpsd-logfile_20140914_365495765_can.log", 10495, 0, 16, whole},
	} {
		t.Run(c.file, func(t *testing.T) {
			data := devicetest.RecordingBytes(t, "can", c.file)
			comments := uint64(bytes.Count(data, []byte("\n#")))
			if data[0] == '#' {
				comments++
			}
			v := judge(t, codec.CAN{}, data, 512)
			n := v.counters
			t.Logf("%+v", n)
			if n.Good != c.good || n.Damaged+n.Unchecked+n.Partial+n.Control-comments != c.other {
				t.Errorf("%+v; provenance says %d frames and %d other lines", n, c.good, c.other)
			}
			seen := map[string]bool{}
			for _, s := range v.samples {
				key := ""
				for _, name := range c.by {
					p, _ := find(s.Values, name)
					key += strconv.FormatFloat(p.Number, 'g', -1, 64) + " "
				}
				seen[key] = true
			}
			if len(seen) != c.identifiers {
				t.Errorf("%d identifiers; provenance says %d", len(seen), c.identifiers)
			}
		})
	}
}

func TestRecordedTables(t *testing.T) {
	for _, c := range []struct {
		folder, file  string
		lines, before uint64 // lines of the file, and those before the header, blank ones included
		column        string
	}{
		{"env-csv", "airscout32-session_A_20250914_150134.csv", 195, 6, "Temperature"},
		{"env-csv", "airscout32-MH-Z19-validation-data.csv", 95, 6, "Gas1"},
		{"machine-csv", "nab-ambient_temperature_system_failure.csv", 7268, 0, "value"},
		{"machine-csv", "nab-machine_temperature_system_failure.csv", 22696, 0, "value"},
		{"machine-csv", "nab-occupancy_t4013.csv", 2501, 0, "value"},
		{"mqtt-ws-pcap", "uwtintres-PlaintextQoS1-latency.csv", 4894, 0, "response_time_ms"},
		{"mqtt-ws-pcap", "uwtintres-TLSQoS1-latency.csv", 4894, 0, "response_time_ms"},
	} {
		t.Run(c.file, func(t *testing.T) {
			v := judge(t, codec.Table{}, append(bytes.TrimRight(devicetest.RecordingBytes(t, c.folder, c.file), "\r\n"), '\n'), 1000)
			n := v.counters
			if n.Good != c.lines-c.before-1 || n.Control != 1 || n.Damaged != 0 || n.Unchecked != max(c.before, 1)-1 {
				t.Errorf("%+v; provenance says %d lines", n, c.lines)
			}
			for _, s := range v.samples {
				if p, ok := find(s.Values, c.column); !ok || p.IsText {
					t.Fatalf("%s is %+v in %q", c.column, p, s.Raw)
				}
			}
		})
	}
}
