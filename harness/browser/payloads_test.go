package browser

import (
	"encoding/json"
	"slices"
	"testing"

	"plumbline/devices"
	"plumbline/harness/record"
)

func ours(seq uint64) []byte {
	return record.Encode("0a1b2c3d", "präss\"7", seq, []devices.Value{{Name: "temp", Number: 21.5}, {Name: "note", Text: "a {\"b\\\" \u2028 \U0001F600", IsText: true}})
}

func quote(text []byte) []byte {
	quoted, err := json.Marshal(string(text))
	if err != nil {
		panic(err)
	}
	return quoted
}

func found(t *testing.T, data []byte) (seqs []uint64, rest, damaged int) {
	t.Helper()
	f := &finder{}
	rest = f.find(data, func(payload []byte) {
		p, err := record.Parse(payload)
		if err != nil {
			t.Errorf("%q: %v", payload, err)
		}
		seqs = append(seqs, p.Seq)
	}, func() { damaged++ })
	return seqs, rest, damaged
}

// Payloads are found in whatever form a bridge passes them on.
func TestPayloadsAreFoundInEveryForm(t *testing.T) {
	var anew map[string]any
	if err := json.Unmarshal(ours(3), &anew); err != nil {
		t.Fatal(err)
	}
	written, err := json.MarshalIndent(map[string]any{"topic": "t", "data": anew}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	reading := func(seq uint64) string { return `{"o":1,"topic":"bench/x","payload":` + string(quote(ours(seq))) + `}` }
	batch := []byte(`{"type":"batch","readings":[` + reading(1) + "," + reading(2) + `]}`)
	for name, c := range map[string]struct {
		data []byte
		want []uint64
	}{
		"as it is":           {ours(1), []uint64{1}},
		"within bytes":       {slices.Concat([]byte{0xff, 0, 0x30}, ours(1), []byte{9, '{', '"'}, ours(2)), []uint64{1, 2}},
		"text in JSON":       {batch, []uint64{1, 2}},
		"JSON in JSON":       {[]byte(`42["message",` + string(quote(batch)) + `]`), []uint64{1, 2}},
		"three times":        {quote(quote(batch)), []uint64{1, 2}},
		"written anew":       {written, []uint64{3}}, // its members change places
		"a value of its own": {[]byte(`{"payload":` + string(ours(4)) + `}`), []uint64{4}},
		"somebody else's":    {[]byte(`{"run":"fast","legs":4}`), nil},
		"nothing":            {nil, nil},
		"only the mark":      {[]byte(`run "run {"run`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			seqs, rest, damaged := found(t, c.data)
			if !slices.Equal(seqs, c.want) || damaged != 0 {
				t.Errorf("found %v and %d damaged in %q, want %v", seqs, damaged, c.data, c.want)
			}
			if name != "only the mark" && name != "within bytes" && rest != len(c.data) {
				t.Errorf("a payload is said to go on from %d of %d", rest, len(c.data))
			}
		})
	}
}

// What a stream cuts in two is found when the rest has come, wherever the cut is.
func TestPayloadsAreFoundAcrossMessages(t *testing.T) {
	whole := []byte(`data: {"readings":[{"payload":` + string(quote(ours(1))) + `},{"payload":` + string(ours(2)) + `}]}` + "\n\n")
	for cut := range len(whole) {
		first, rest, _ := found(t, whole[:cut])
		second, _, damaged := found(t, whole[rest:])
		if got := slices.Concat(first, second); !slices.Equal(slices.Compact(slices.Sorted(slices.Values(got))), []uint64{1, 2}) || damaged != 0 {
			t.Fatalf("cut at %d: found %v, then %v; %d damaged", cut, first, second, damaged)
		}
	}
}

// One changed byte makes it damaged, not ours.
func TestADamagedPayloadIsNone(t *testing.T) {
	for i, level := range [][]byte{ours(1), quote(ours(1))} {
		data := slices.Clone(level)
		at := slices.Index(data, '2') // of 21.5
		data[at+30] ^= 1
		if seqs, _, damaged := found(t, data); len(seqs) != 0 && damaged == 0 {
			t.Errorf("level %d: found %v and %d damaged", i, seqs, damaged)
		}
	}
}

func FuzzPayloads(f *testing.F) {
	f.Add(ours(1))
	f.Add(quote(ours(1)))
	f.Add([]byte(`{"run":"\u12`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, rest, _ := found(t, data); rest < 0 || rest > len(data) {
			t.Errorf("rest %d of %d", rest, len(data))
		}
	})
}
