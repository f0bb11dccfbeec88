package site

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// maxSlug bounds a part of an address, in bytes. digestDigits are those of the
// digest that an odd name ends in: nobody makes two names of one.
const (
	maxSlug      = 64
	digestDigits = 32
)

// plainName are the characters that stand for themselves in an address, on every file
// system and in every link.
const plainName = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// devices cannot be names of files on Windows.
var devices = []string{"con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9"}

// digested matches what Slug makes of odd names.
var digested = regexp.MustCompile(`(^|-)[0-9a-f]{32}$`)

// Slug makes any name a part of an address, no two names the same. A plain name
// stays as it is; any other keeps what is plain in it and gets a digest, and so does
// one that looks as if it had got its own already.
func Slug(name string) string {
	if name != "" && len(name) <= maxSlug && strings.Trim(name, plainName) == "" && !strings.HasPrefix(name, "-") &&
		!slices.Contains(devices, name) && !digested.MatchString(name) {
		return name
	}
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case b.Len() >= maxSlug-digestDigits-1:
		case strings.ContainsRune(plainName, r):
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimPrefix(strings.Trim(b.String(), "-")+"-", "-") + hex.EncodeToString(sum[:digestDigits/2])
}
