package wire

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// FuzzCommand: whatever a viewer sends as JSON or CBOR is decoded or refused, and what is decoded means the same when it is
// written again by a library that is not ours.
func FuzzCommand(f *testing.F) {
	for _, text := range []string{
		`{"type":"hello","token":"eyJ.e.s","client":"wall","compact":true}`,
		`{"type":"sub","id":1,"filter":"a/+/#","mode":"latest","tick_ms":50,"snapshot":true,"since":{"epoch":"c1f0","offset":980}}`,
		`{"type":"sub","id":9007199254740992,"mode":"sample","every_ms":1000}`,
		`{"type":"auth","token":""}`, `{"type":"ping","id":"x"}`, `{"type":"unsub","id":1.0}`,
		`{"id":null,"since":null}`, `{"type":"a","type":"b"}`, `{"since":{"offset":1,"offset":2}}`, `[[[[[[[[[[`, ``,
	} {
		f.Add([]byte(text), false)
		var v any
		if json.Unmarshal([]byte(text), &v) == nil {
			if raw, err := cbor.Marshal(v); err == nil {
				f.Add(raw, true)
			}
		}
	}
	f.Add([]byte("\xbf\xff"), true)
	f.Add([]byte("\xa1\x62id\xc2\x41\x01"), true)
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		d := dialect{binary: binary}
		var c command
		if d.decode(bytes.Clone(data), c.members()) != nil {
			return
		}
		_, _, reason, _ := c.pace()
		id, good := c.id.whole()
		if good && (id < 0 || id > maxWhole) {
			t.Fatalf("id %d", id)
		}
		since, broken := c.cursor()
		if broken && since != nil || !broken && (since != nil) != c.resumes() || since != nil && since.Epoch == "" {
			t.Fatalf("cursor %v, broken %v, resumes %v", since, broken, c.resumes())
		}
		again := map[string]any{"type": c.kind, "token": c.token, "client": c.client, "filter": c.filter, "mode": c.mode, "snapshot": c.snapshot, "compact": c.compact}
		if good {
			again["id"] = id
		}
		if since != nil {
			again["since"] = map[string]any{"epoch": since.Epoch, "offset": since.Offset}
		}
		encode := json.Marshal
		if binary {
			encode = cbor.Marshal
		}
		raw, err := encode(again)
		if err != nil {
			t.Fatal(err)
		}
		var c2 command
		if err := d.decode(raw, c2.members()); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		id2, good2 := c2.id.whole()
		since2, _ := c2.cursor()
		if c2.kind != c.kind || c2.filter != c.filter || c2.token != c.token || c2.snapshot != c.snapshot || good2 != good || good && id2 != id ||
			(since == nil) != (since2 == nil) || since != nil && *since != *since2 {
			t.Fatalf("%q became %q", data, raw)
		}
		if _, _, reason2, _ := c2.pace(); c.mode != modeSample && c.mode != modeLatest && reason2 != reason {
			t.Fatalf("mode %q: %q and %q", c.mode, reason, reason2)
		}
	})
}

// FuzzCursor: since is continued whole or not at all, as JSON and as CBOR alike.
func FuzzCursor(f *testing.F) {
	f.Add("c1f0", uint64(980), false)
	f.Add("", uint64(0), true)
	f.Add("\xff", uint64(1)<<63, true)
	f.Fuzz(func(t *testing.T, epoch string, offset uint64, binary bool) {
		encode := json.Marshal
		if binary {
			encode = cbor.Marshal
		}
		raw, err := encode(map[string]any{"since": map[string]any{"epoch": epoch, "offset": offset}})
		if err != nil {
			t.Skip()
		}
		var c command
		if (dialect{binary: binary}).decode(raw, c.members()) != nil {
			return // text that is not UTF-8
		}
		since, broken := c.cursor()
		if broken != (epoch == "") && since == nil {
			t.Fatalf("%q: %v %v", raw, since, broken)
		}
		if since != nil && since.Offset != offset {
			t.Fatalf("%q became %v", raw, since)
		}
	})
}

// deflateGrammar is an offer that can be honoured, as RFC 7692 section 7.1 spells it; that no parameter comes twice it cannot say.
var deflateGrammar = regexp.MustCompile( //nolint:gochecknoglobals // a constant
	`^[ \t]*permessage-deflate[ \t]*(;[ \t]*((server|client)_no_context_takeover|client_max_window_bits([ \t]*=[ \t]*([89]|1[0-5]))?)[ \t]*)*$`)

// FuzzDeflateOffer: an offer is taken if and only if the grammar and the count of its parameters say that it can be honoured.
func FuzzDeflateOffer(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits=10")
	f.Add("permessage-deflate;server_no_context_takeover ; client_no_context_takeover;client_max_window_bits = 15")
	f.Add("x, permessage-deflate; client_max_window_bits; client_max_window_bits")
	f.Add("permessage-deflate; server_max_window_bits=10, permessage-deflate;")
	f.Add(`a;b="c,d", permessage-deflate`)
	f.Fuzz(func(t *testing.T, offers string) {
		want := false
		for _, offer := range strings.Split(offers, ",") {
			good := deflateGrammar.MatchString(offer) && !strings.ContainsAny(offer, "\n\r")
			for _, name := range []string{"server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits"} {
				good = good && strings.Count(offer, name) <= 1
			}
			want = want || good
		}
		if want = want && !strings.Contains(offers, `"`); deflateOffered([]string{offers}) != want {
			t.Fatalf("%q: taken %v, want %v", offers, !want, want)
		}
	})
}
