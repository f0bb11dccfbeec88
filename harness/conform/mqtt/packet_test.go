package mqtt

import (
	"strings"
	"testing"
)

// FuzzParse: no bytes of a server make the parser panic, read beyond them or
// return without having moved.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"\x20\x02\x00\x00", "\x20\x06\x00\x00\x03\x21\x00\x0a", "\x30\x05\x00\x01a\x00x", "\x90\x04\x00\x01\x00\x00",
		"\x40\x04\x00\x01\x10\x00", "\xd0\x00", "\xe0\x02\x8e\x00", "\x30\xff\xff\xff\x7f", "\x62\x02\x00\x01",
	} {
		f.Add(byte(5), []byte(seed))
		f.Add(byte(4), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		if version != v5 {
			version = v311
		}
		for rest := b; ; {
			p, n, err := parse(version, rest)
			if n == 0 {
				return
			}
			if n < 2 || n > len(rest) || len(p.payload) > n || err == nil && p.String() == "" {
				t.Fatalf("took %d of %d bytes", n, len(rest))
			}
			rest = rest[n:]
		}
	})
}

// TestParseRefuses: what a server must not send is told apart.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		version byte
		raw     string
		says    string
	}{
		"flags":                      {v5, "\xd1\x00", "reserved"},
		"PUBREL flags":               {v5, "\x60\x02\x00\x01", "reserved"},
		"a client's packet":          {v5, "\xc0\x00", "must not send"},
		"long length":                {v5, "\xd0\x80\x00", "shortest"},
		"return code":                {v311, "\x20\x02\x00\x82", "0x82"},
		"refusal without properties": {v5, "\x20\x02\x00\x87", "more bytes"},
		"DISCONNECT in 3.1.1":        {v311, "\xe0\x00", "3.1.1"},
		"identifier 0":               {v5, "\x40\x02\x00\x00", "identifier 0"},
		"QoS 3":                      {v311, "\x36\x05\x00\x01a\x00\x01", "QoS 3"},
		"wildcard":                   {v311, "\x30\x03\x00\x01#", "wildcard"},
		"topic not UTF-8":            {v311, "\x30\x03\x00\x01\xff", "UTF-8"},
		"property twice":             {v5, "\x20\x09\x00\x00\x06\x21\x00\x01\x21\x00\x01", "twice"},
		"property elsewhere":         {v5, "\x20\x06\x00\x00\x03\x23\x00\x01", "must not have"},
		"too many bytes":             {v5, "\xd0\x01x", "too many"},
		"too few bytes":              {v5, "\x40\x01\x00", "too early"},
	} {
		_, n, err := parse(c.version, []byte(c.raw))
		if err == nil || !strings.Contains(err.Error(), c.says) || n != len(c.raw) && name != "long length" {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}
