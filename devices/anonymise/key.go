package anonymise

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"unicode/utf8"
)

// MinSecret is the least length of a secret, in bytes.
const MinSecret = 16

// Key replaces. It has no state and is safe for concurrent use.
type Key struct{ secret []byte }

// NewKey returns a key that nobody knows: what it replaces stays replaced, and two
// recordings have nothing in common.
func NewKey() *Key {
	k := &Key{secret: make([]byte, sha256.Size)}
	_, _ = rand.Read(k.secret) // never fails: crypto/rand ends the program instead
	return k
}

// KeyFrom returns the key of a secret, so that several recordings replace alike.
// It errs when the secret is shorter than MinSecret.
func KeyFrom(secret []byte) (*Key, error) {
	if len(secret) < MinSecret {
		return nil, errors.New("anonymise: a secret of less than 16 bytes can be guessed; make one with: openssl rand -hex 32")
	}
	return &Key{secret: append([]byte(nil), secret...)}, nil
}

// stream is the hash of what is replaced, as long as is asked for.
func (k *Key) stream(class, token string, n int) []byte {
	var out []byte
	for block := byte(0); len(out) < n; block++ {
		h := hmac.New(sha256.New, k.secret)
		h.Write([]byte(class))
		h.Write([]byte{0, block})
		h.Write([]byte(token))
		out = h.Sum(out)
	}
	return out[:n]
}

// Text replaces letters by letters of the same case and digits by digits; other
// characters of ASCII stay. Letters beyond ASCII become as many letters as they
// have bytes.
func (k *Key) Text(token string) string {
	out := []byte(token)
	k.letters("text", token, out)
	return string(out)
}

func (k *Key) letters(class, token string, out []byte) {
	for i, h := range k.stream(class, token, len(out)) {
		switch b := out[i]; {
		case b >= '0' && b <= '9':
			out[i] = '0' + h%10
		case b >= 'A' && b <= 'Z':
			out[i] = 'A' + h%26
		case b >= 'a' && b <= 'z', b >= utf8.RuneSelf:
			out[i] = 'a' + h%26
		}
	}
}

// digits replaces digits only, in place. The first digit of a number of several
// stays above 0, as JSON wants it.
func (k *Key) digits(class string, p []byte) {
	first := true
	for i, h := range k.stream(class, string(p), len(p)) {
		switch b := p[i]; {
		case b < '0' || b > '9':
		case first && i+1 < len(p) && p[i+1] >= '0' && p[i+1] <= '9' && b != '0':
			p[i] = '1' + h%9
			first = false
		default:
			p[i] = '0' + h%10
			first = false
		}
	}
}

// hex replaces hexadecimal digits by such, in place.
func (k *Key) hex(p []byte) {
	for i, h := range k.stream("hex", string(p), len(p)) {
		switch b := p[i]; {
		case b >= '0' && b <= '9', b >= 'A' && b <= 'F':
			p[i] = "0123456789ABCDEF"[h%16]
		case b >= 'a' && b <= 'f':
			p[i] = "0123456789abcdef"[h%16]
		case b >= 'G' && b <= 'Z', b >= 'g' && b <= 'z':
			p[i] = 'x'
		}
	}
}

// topicWords are the levels that tell nothing of whom a topic belongs to: those of
// the families that devices/mqttrule reads, and names of quantities.
var topicWords = set("tele stat cmnd SENSOR STATE RESULT LWT POWER INFO1 INFO2 INFO3 STATUS zigbee2mqtt bridge homeassistant " +
	"sensor binary_sensor switch light climate config availability status state online set get events rpc spBv1.0 " +
	"NBIRTH NDATA NDEATH NCMD DBIRTH DDATA DDEATH DCMD shellies relay emeter announce info input command devices sensors " +
	"power energy temperature humidity pressure voltage current battery illuminance occupancy contact co2 pm25 pm10 " +
	"lat latitude lon lng long longitude id serial mac ip ssid + #")

// Topic replaces the levels of a topic or topic filter that are none of the words
// of the known families, each as Text does. Levels that begin with $ stay.
func (k *Key) Topic(topic string) string {
	levels := strings.Split(topic, "/")
	for i, l := range levels {
		if !topicWords[l] && !strings.HasPrefix(l, "$") && !number(l) {
			levels[i] = k.Text(l)
		}
	}
	return strings.Join(levels, "/")
}

// number reports whether a text is a short whole number: a channel, no serial number.
func number(s string) bool {
	return len(s) <= 2 && strings.Trim(s, "0123456789") == ""
}

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}
