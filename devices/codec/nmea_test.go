package codec_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// find returns the value called name.
func find(values []devices.Value, name string) (devices.Value, bool) {
	for _, v := range values {
		if v.Name == name {
			return v, true
		}
	}
	return devices.Value{}, false
}

// TestSentences decodes sentences of real receivers (gpsd's test recordings)
// and the standard's examples.
func TestSentences(t *testing.T) {
	for _, c := range []struct {
		line  string
		name  string
		unit  string
		value float64
	}{
		{"$GNGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,*44", "lat", "deg", 44.0690105},
		{"$GNGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,*44", "lon", "deg", -121.314246333},
		{"$GNGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,*44", "altitude", "m", 1147.2},
		{"$GNGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,*44", "utc", "s", 62366},
		{"$GNGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,*44", "satellites", "", 12},
		{"$GNRMC,171926.00,A,4404.14063,N,12118.85478,W,0.117,,180315,,,A*76", "speed", "[kn_i]", 0.117},
		{"$GPVTG,000.0,T,357.0,M,000.0,N,0000.1,K,A*13", "speed_kmh", "km/h", 0.1},
		{"$GPGSA,A,3,20,,,,13,31,,04,,,,,02.7,01.4,02.3*05", "pdop", "", 2.7},
		{"$GPHDT,274.07,T*03", "heading", "deg", 274.07},
		{"$GNGLL,4404.14066,N,12118.85481,W,171925.00,A,A*66", "utc", "s", 62365},
		{sentence("SDDBT,7.8,f,2.4,M,1.3,F"), "depth", "m", 2.4},
		{sentence("GPGLL,3357.5,S,15112.0,E,225444,A"), "lat", "deg", -33.9583333},
		{sentence("WIMTW,18.5,C"), "water_temperature", "Cel", 18.5},
		{sentence("GPZDA,235960.00,31,12,2016,00,00"), "utc", "s", 86400},
		{sentence("PGRME,15.0,M,45.0,M,25.0,M"), "f1", "", 15},
	} {
		t.Run(c.line[1:6]+"/"+c.name, func(t *testing.T) {
			values, err := codec.NMEA0183{}.Decode([]byte(c.line))
			if err != nil {
				t.Fatal(err)
			}
			v, ok := find(values, c.name)
			if !ok || v.IsText || v.Unit != c.unit || math.Abs(v.Number-c.value) > 1e-6 {
				t.Errorf("%s = %+v (found %v), want %v %s", c.name, v, ok, c.value, c.unit)
			}
			if values[0].Name != "sentence" || values[0].Text != c.line[1:6] {
				t.Errorf("first value %+v, want the sentence", values[0])
			}
		})
	}
}

// sentence builds a line with its checksum, without the line end.
func sentence(body string) string {
	return strings.TrimSpace(string(codec.AppendNMEA(nil, body)))
}

func TestNMEARejects(t *testing.T) {
	for _, c := range []struct {
		name   string
		line   string
		class  codec.Class
		reason string
	}{
		{"wrong checksum", "$GPHDT,274.07,T*04", codec.Damaged, "checksum 04, computed 03"},
		{"one digit changed", "$GPHDT,274.08,T*03", codec.Damaged, "checksum 03, computed 0C"},
		{"doubled start (ST Teseo LIV4F)", "$$GPHDT,274.07,T*03", codec.Damaged, "computed"},
		{"no checksum", "$GPHDT,274.07,T", codec.Unchecked, "no checksum"},
		{"cut within the checksum", "$GPHDT,274.07,T*0", codec.Unchecked, "no checksum"},
		{"checksum is no hex", "$GPHDT,274.07,T*0G", codec.Unchecked, "no checksum"},
		{"text before", "boot$GPHDT,274.07,T*03", codec.Unchecked, "does not begin with"},
		{"binary", "\xa0\xa2\x00\x11", codec.Unchecked, "does not begin with"},
		{"empty", "", codec.Unchecked, "does not begin with"},
		{"start alone", "$", codec.Unchecked, "no checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			values, err := codec.NMEA0183{}.Decode([]byte(c.line))
			var r *codec.Reject
			if !errors.As(err, &r) {
				t.Fatalf("got %v, %v; want a *Reject", values, err)
			}
			if r.Class != c.class || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("rejected as %d %q, want %d %q", r.Class, r.Reason, c.class, c.reason)
			}
		})
	}
}

// TestNMEAKeepsWhatItCannotRead: the checksum holds, the field makes no sense.
func TestNMEAKeepsWhatItCannotRead(t *testing.T) {
	for _, c := range []struct{ body, name, text string }{
		{"GPGGA,99xx,4808.9,N,01135.1,E,1,04,1.4,460,M,46,M,,", "utc", "99xx"},
		{"GPGGA,120000,9908.9,N,01135.1,E,1,04,1.4,460,M,46,M,,", "lat", "9908.9"},
		{"GPGGA,120000,4875.9,N,01135.1,E,1,04,1.4,460,M,46,M,,", "lat", "4875.9"},
		{"GPGGA,120000,4808.9,X,01135.1,E,1,04,1.4,460,M,46,M,,", "lat", "4808.9"},
		{"GPGGA,120000,4808.9", "lat", "4808.9"},
		{"GPHDT,Inf,T", "heading", "Inf"},
		{"GPHDT,1e5,T", "heading", "1e5"},
		{"GPTXT,01,hello \xff", "f2", "hello \uFFFD"},
	} {
		t.Run(c.body, func(t *testing.T) {
			values, err := codec.NMEA0183{}.Decode([]byte(sentence(c.body)))
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := find(values, c.name); !ok || !v.IsText || v.Text != c.text {
				t.Errorf("%s = %+v (found %v), want the text %q", c.name, v, ok, c.text)
			}
		})
	}
}

func TestNMEALeavesEmptyFieldsOut(t *testing.T) {
	values, err := codec.NMEA0183{}.Decode([]byte(sentence("GNRMC,,V,,,,,,,,,,N")))
	if err != nil {
		t.Fatal(err)
	}
	if len(values) != 2 || values[1].Name != "status" || values[1].Text != "V" {
		t.Errorf("values %+v, want sentence and status only", values)
	}
}

func TestChecksumCaseAndBlanks(t *testing.T) {
	line := sentence("GPHDT,274.08,T")
	lower := line[:len(line)-2] + strings.ToLower(line[len(line)-2:])
	for _, l := range []string{line, lower, line + " \t", "!" + line[1:]} {
		if _, err := (codec.NMEA0183{}).Decode([]byte(l)); err != nil {
			t.Errorf("%q: %v", l, err)
		}
	}
	if lower == line {
		t.Fatalf("checksum of %q has no letter: the test shows nothing", line)
	}
}

// FuzzNMEA checks that only frames whose checksum holds pass, and that what is
// built passes.
func FuzzNMEA(f *testing.F) {
	f.Add("$GNGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,*44")
	f.Add("$GPGSV,3,3,12,2,40,16,00,090,*72")
	f.Add("$$GPHDT,274.07,T*03")
	f.Add("!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C")
	f.Add("$PUBX,00*33")
	f.Add("$*00")
	f.Fuzz(func(t *testing.T, line string) {
		values, err := codec.NMEA0183{}.Decode([]byte(line))
		if err == nil {
			star := strings.LastIndexByte(line, '*')
			if star < 1 || len(values) == 0 {
				t.Fatalf("%q passed with %d values", line, len(values))
			}
			for _, v := range values {
				if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
					t.Fatalf("%q gives %+v", line, v)
				}
			}
			// Any one bit flipped in the body must be seen.
			damaged := []byte(line)
			damaged[1+star/2] ^= 1
			if _, err := (codec.NMEA0183{}).Decode(damaged); err == nil {
				t.Fatalf("%q passed after a bit was flipped", damaged)
			}
		}
		if strings.ContainsAny(line, "\r\n*") || strings.TrimRight(line, " \t") != line {
			return
		}
		if _, err := (codec.NMEA0183{}).Decode([]byte(sentence(line))); err != nil && line == strings.TrimSpace(line) && line != "" {
			t.Fatalf("built from %q: %v", line, err)
		}
	})
}
