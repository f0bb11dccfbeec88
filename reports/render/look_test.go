package render

import ("testing";"os")

func TestLook(t *testing.T) {
	d := os.Getenv("H1_LOOK"); if d == "" { t.Skip() }
	for n, r := range map[string]func() error{"cert": func() error { os.MkdirAll(d+"/cert",0o755); return All(d+"/cert", sampleCertified()) }, "mixed": func() error { os.MkdirAll(d+"/mixed",0o755); return All(d+"/mixed", sampleMixed()) }} {
		if err := r(); err != nil { t.Error(n, err) }
	}
	if err := sampleCertified().Validate(); err != nil { t.Error(err) }
	if err := sampleMixed().Validate(); err != nil { t.Error(err) }
}
