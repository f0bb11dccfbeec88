package spec

import "testing"

func TestQuoteIsSafeToPaste(t *testing.T) {
	for word, want := range map[string]string{
		"lab.yaml": "lab.yaml", "serial:/dev/ttyUSB0": "serial:/dev/ttyUSB0", "": "''", "a b": "'a b'",
		"x;rm -rf ~": "'x;rm -rf ~'", "it's": `'it'\''s'`, "$(id)": "'$(id)'", "~/x": "'~/x'", "a?b=1&c": "'a?b=1&c'",
		"line\nbreak": "'line\nbreak'", "ä.yaml": "'ä.yaml'",
	} {
		if got := Quote(word); got != want {
			t.Errorf("Quote(%q) = %s, want %s", word, got, want)
		}
	}
	c := Conditions{Command: "plumbline run", Profile: "my profiles/it's.yaml", Seed: 7}
	if got, want := c.reproduce("good"), `plumbline run --profile 'my profiles/it'\''s.yaml' --seed 7 --label-filter good`; got != want {
		t.Errorf("reproduce = %s, want %s", got, want)
	}
}
