package anonymise_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"plumbline/devices/anonymise"
	"plumbline/devices/codec"
)

func key(tb testing.TB) *anonymise.Key {
	tb.Helper()
	k, err := anonymise.KeyFrom(bytes.Repeat([]byte("k"), anonymise.MinSecret))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestFramesStayValidAndTellNothing(t *testing.T) {
	k := key(t)
	another, err := anonymise.KeyFrom(bytes.Repeat([]byte("another"), 4))
	if err != nil {
		t.Fatal(err)
	}
	telegram := string(codec.AppendP1(nil, `ISK5\2M550T-1012`, []codec.Object{
		{ID: "0-0:96.1.1", Text: "4530303434303037313331363530363137"}, {ID: "1-0:1.7.0", Text: "00.378*kW"}, {ID: "0-1:96.1.0", Text: "4730303339303031"}}))
	for _, c := range []struct {
		codec        codec.Codec
		frame        string
		gone, stayed []string
	}{
		{codec.NMEA0183{}, string(codec.AppendNMEA(nil, "GPRMC,120000.00,A,5230.12345,N,01322.54321,E,3.40,84.4,230394,3.1,W,A")),
			[]string{"5230.12345", "01322.54321"}, []string{"120000.00", ",3.40,84.4,230394,3.1,W"}},
		{codec.NMEA0183{}, strings.Replace(string(codec.AppendNMEA(nil, "AIVDM,1,1,,A,13HOI:0P0000VOHLCnHQKwvL05Ip,0")), "$", "!", 1),
			[]string{"13HOI:0P0000VOHL"}, []string{"AIVDM,1,1,,A,1"}},
		{codec.NMEA0183{}, string(codec.AppendNMEA(nil, "GPTXT,01,01,02,SN 20160901234")), []string{"20160901234"}, []string{"GPTXT,01,01,02,SN"}},
		{codec.NMEA0183{}, string(codec.AppendNMEA(nil, "CDDSC,20,3381581370,00,21,26,1423108312,0236")), []string{"3381581370", "1423108312"}, []string{"$CDDSC,"}},
		{codec.LineJSON{}, `{"type":"Point","coordinates":[4.8952,52.3702],"device":"0012345678","mmsi":211234560}`, []string{"4.8952", "52.3702", "0012345678", "211234560"}, []string{`"mmsi":`}},
		{codec.LineJSON{}, `{"latitude_i":523702160,"gps_lon":4.8952,"startLatitude":52.3702,"LNG2":13.37,"flat":41.25}`,
			[]string{"523702160", "4.8952", "52.3702", "13.37"}, []string{`"latitude_i":`, `"flat":41.25`}},
		{codec.SenML{}, `[{"bn":"a1","u":"lon","v":24.30621},{"u":"lat","v":60.07965}]`, []string{"24.30621", "60.07965"}, []string{`"u":"lat"`}},
		{codec.P1{}, telegram, []string{"4530303434303037313331363530363137", "4730303339303031"}, []string{"00.378*kW", `ISK5\2M550T-1012`}},
		{codec.P1{}, string(codec.AppendP1(nil, `ISK5\2M550T-1012`, []codec.Object{{ID: "0-0:96.1.1.255", Text: "4530303434303037"}, {ID: "0-0:96.1.1*255", Text: "4530303434303038"},
			{ID: "0-0:42.0.0.255", Text: "4530303434303039"}, {ID: "0-0:96.13.0.255", Text: "4C697361"}, {ID: "1-0:1.7.0.255", Text: "00.378*kW"}})),
			[]string{"4530303434303037", "4530303434303038", "4530303434303039", "4C697361"}, []string{"(00.378*kW)", "0-0:96.1.1*255("}},
		{codec.NMEA0183{}, string(codec.AppendNMEA(nil, "PFLAU,3,1,2,1,2,-30,2,-32,755,DD8F12")), []string{"DD8F12"}, []string{"$PFLAU,3,1,2,1,2,-30,2,-32,755,"}},
		{codec.NMEA0183{}, string(codec.AppendNMEA(nil, "PFLAA,0,-1234,1234,220,2,DD8F12!FLRFACADE,180,,30,-1.4,1")), []string{"DD8F12", "FACADE"}, []string{"$PFLAA,0,-1234,1234,220,2,", "!FLR"}},
		{codec.LineJSON{}, `{"pos":[52.37,4.89],"gpsPosition":[52.371],"cid":21437,"lac":132,"ESP8266_ID":7654321,"blind":{"pos":50},"feedback":"ok"}`,
			[]string{"52.37", "4.89", "21437", "132", "7654321"}, []string{`"pos":50`, `"feedback":"ok"`}},
		{codec.SDS011{}, string(codec.AppendSDS011(nil, 12.3, 45.6, 0xA160)), []string{"\xa1\x60"}, []string{"\xaa\xc0\x7b\x00"}},
		{codec.LineJSON{CRC: true}, string(codec.AppendLineJSON(nil, "node-garage", 7, nil)), []string{"node-garage"}, []string{`"seq":7`}},
		{codec.LineJSON{}, `{"lat":52.5123,"lon":13.4,"mac":"A4:CF:12:0B:11:22","serial":48151623,"t":21.5,"state":"online","at":"2026-02-03T04:05:06Z","x\"y":"M\u00fcller"}`,
			[]string{"52.5123", "13.4", "A4:CF", "48151623", `M\u00fc`}, []string{`"t":21.5`, `"online"`, `"2026-02-03T04:05:06Z"`}},
		{codec.SenML{}, `[{"bn":"urn:dev:ow:10e2073a0108006","n":"temperature","u":"Cel","v":23.1},{"n":"x9","vs":"Lisa"}]`,
			[]string{"10e2073a", "Lisa", `"x9"`}, []string{`"temperature","u":"Cel","v":23.1`}},
	} {
		t.Run(c.codec.Name(), func(t *testing.T) {
			if _, err := c.codec.Decode([]byte(c.frame)); err != nil {
				t.Fatalf("the example does not pass: %v", err)
			}
			hidden := []byte(c.frame)
			k.Frame(c.codec, hidden)
			if _, err := c.codec.Decode(hidden); err != nil {
				t.Errorf("%q does not pass any more: %v", hidden, err)
			}
			if len(hidden) != len(c.frame) {
				t.Errorf("%d bytes became %d", len(c.frame), len(hidden))
			}
			for _, text := range c.gone {
				if bytes.Contains(hidden, []byte(text)) {
					t.Errorf("%q still tells %q", hidden, text)
				}
			}
			for _, text := range c.stayed {
				if !bytes.Contains(hidden, []byte(text)) {
					t.Errorf("%q lost %q", hidden, text)
				}
			}
			again := []byte(c.frame)
			if k.Frame(c.codec, again); !bytes.Equal(again, hidden) {
				t.Errorf("the same frame is replaced by another: %q, %q", hidden, again)
			}
			other := []byte(c.frame)
			if another.Frame(c.codec, other); bytes.Equal(other, hidden) {
				t.Errorf("another key gives the same: %q", other)
			}
		})
	}
}

func TestScrubbedFramesStayBad(t *testing.T) {
	for _, c := range []struct {
		codec codec.Codec
		frame string
	}{
		{codec.NMEA0183{}, "$GPRMC,120000,A,5230.12345,N,01322.5,E,3.4,84.4,230394,3.1,W*00"},
		{codec.NMEA0183{}, "$AA,1*00"}, // would pass by chance
		{codec.P1{}, "/ISK5\r\n\r\n0-0:96.1.1(4530303434)\r\n!0000\r\n"},
		{codec.SDS011{}, "\xaa\xc0\x7b\x00\xc8\x01\xa1\x60\x00\xab"},
		{codec.LineJSON{}, `{"mac":"A4CF120B1122","x":`},
	} {
		p := []byte(c.frame)
		anonymise.Scrub(c.codec, p)
		if _, err := c.codec.Decode(p); err == nil || len(p) != len(c.frame) {
			t.Errorf("%q of %s passes after all, from %q", p, c.codec.Name(), c.frame)
		}
		for _, told := range []string{"5230", "4530", "A4CF", "\xa1\x60"} {
			if bytes.Contains(p, []byte(told)) {
				t.Errorf("%q still tells %q", p, told)
			}
		}
	}
}

func TestTopicsAndPayloads(t *testing.T) {
	k := key(t)
	topic := k.Topic("tele/tasmota_A1B2C3/SENSOR")
	if !strings.HasPrefix(topic, "tele/") || !strings.HasSuffix(topic, "/SENSOR") || strings.Contains(topic, "A1B2C3") || k.Topic("tele/+/#") != "tele/+/#" {
		t.Errorf("the topic became %q", topic)
	}
	name := strings.Split(topic, "/")[1]
	for _, c := range []struct{ topic, payload, gone, stays string }{
		{"a/STATE", `{"Hostname":"tasmota_A1B2C3","ENERGY":{"Power":12.5}}`, "A1B2C3", `"Power":12.5`},
		{"a/config", `{"stat_t":"tele/tasmota_A1B2C3/STATE"}`, "A1B2C3", "tele/" + name + "/STATE"},
		{"a/x", "21.5", "", "21.5"},
		{"a/lat", "52.5123", "52.5123", "."},
		{"a/LWT", "Online", "", "Online"},
		{"a/x", "Lisa's room", "Lisa", "'"},
		{"a/x", "", "", ""},
		{"a/x", `["Lisa", 7, {"0x00158d0001a2b3c4": true}]`, "158d0001a2b3c4", ", 7, "},
	} {
		out, ok := k.Payload(c.topic, []byte(c.payload))
		if !ok || len(out) != len(c.payload) || c.gone != "" && strings.Contains(string(out), c.gone) || !strings.Contains(string(out), c.stays) {
			t.Errorf("%s %q became %q, %v", c.topic, c.payload, out, ok)
		}
		if json.Valid([]byte(c.payload)) && !json.Valid(out) {
			t.Errorf("%q became %q, which is no JSON", c.payload, out)
		}
	}
	if out, ok := k.Payload("spBv1.0/G/NDATA/E", []byte{8, 1, 0xff}); ok {
		t.Errorf("a binary payload became %q", out)
	}
}

func TestWhatIsRefused(t *testing.T) {
	if _, err := anonymise.KeyFrom([]byte("short")); err == nil {
		t.Error("a short secret is no error")
	}
	for _, c := range []codec.Codec{nil, codec.CAN{}, codec.Table{}, codec.Pairs{}} {
		if anonymise.Check(c) == nil {
			t.Errorf("%v is not known and no error", c)
		}
	}
}

func FuzzReplace(f *testing.F) {
	f.Add([]byte("$GPGLL,5230.1,N,01322.5,E,1,A*0D"), "a/lat")
	f.Add([]byte(`{"lat":"-9","a\u00e4":[1e5,"x\"y"]}`), "a/b")
	f.Add([]byte("/ISK5\n\n0-0:96.1.1(45)\n!1234\n"), "")
	k := key(f)
	f.Fuzz(func(t *testing.T, data []byte, topic string) {
		for _, c := range codec.All() {
			if anonymise.Check(c) != nil {
				continue
			}
			p := bytes.Clone(data)
			if _, err := c.Decode(p); err == nil {
				if k.Frame(c, p); len(p) != len(data) {
					t.Fatalf("%d bytes became %d", len(data), len(p))
				}
				if _, err := c.Decode(p); err != nil {
					t.Fatalf("%s: %q was good and became %q: %v", c.Name(), data, p, err)
				}
			}
			anonymise.Scrub(c, bytes.Clone(data))
		}
		if out, ok := k.Payload(topic, data); ok && (len(out) != len(data) || json.Valid(data) && !json.Valid(out)) {
			t.Fatalf("%q became %q", data, out)
		}
		if got := k.Topic(topic); len(got) != len(topic) {
			t.Fatalf("topic %q became %q", topic, got)
		}
	})
}
