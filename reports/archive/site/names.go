package site

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// maxSlug bounds a part of an address, in bytes.
const maxSlug = 48

// plainName are the characters that stand for themselves in an address, on every file
// system and in every link.
const plainName = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// devices cannot be names of files on Windows.
var devices = []string{"con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9"}

// Slug makes any name a part of an address. A plain name stays as it is; any other
// keeps what is plain in it and gets a digest, so that two of them do not meet.
func Slug(name string) string {
	if name != "" && len(name) <= maxSlug && strings.Trim(name, plainName) == "" && !strings.HasPrefix(name, "-") && !slices.Contains(devices, name) {
		return name
	}
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case b.Len() >= maxSlug-20:
		case strings.ContainsRune(plainName, r):
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimPrefix(strings.Trim(b.String(), "-")+"-", "-") + hex.EncodeToString(sum[:6])
}
