package sut

import "testing"

func TestVersionNamesTheRevisionOnce(t *testing.T) {
	const revision = "5408cd11b94446aae01a95a65d5e4caa0fc007a0"
	for _, c := range []struct{ module, revision, want string }{
		{"v0.0.0-20261126224243-5408cd11b944", revision, "v0.0.0-20261126224243-5408cd11b944"},
		{"v1.2.0", revision, "v1.2.0 (5408cd11b944)"},
		{"", revision, "(5408cd11b944)"},
		{"v1.2.0", "", "v1.2.0"},
		{"", "", ""},
	} {
		if got := versionText(c.module, c.revision); got != c.want {
			t.Errorf("%q of %q: %q, want %q", c.module, c.revision, got, c.want)
		}
	}
}
