package scenarios

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// item is one payload of the corpora; name is a part of its topic and of its
// device.
type item struct {
	name    string
	payload []byte
}

// rungs are the sizes at which length fields and buffers change: the WebSocket
// lengths of RFC 6455 section 5.2, the TLS record of RFC 8446 section 5.1.
var rungs = []int{0, 1, 124, 125, 126, 127, 128, 16383, 16384, 16385, 65535, 65536, 1 << 20}

// ladder returns the ladder of sizes up to a bound (0 for none) as text and,
// when binary is true, as random bytes, and what was left out.
func ladder(seed uint64, binary bool, bound int64) (items []item, left []string) {
	draw := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // reproducible payloads, not secrets
	for _, size := range rungs {
		if bound > 0 && int64(size) > bound {
			left = append(left, fmt.Sprintf("%d bytes (at most %d are taken)", size, bound))
			continue
		}
		text, bytes := make([]byte, size), make([]byte, size)
		for i := range size {
			text[i], bytes[i] = 'a'+byte(i%26), byte(draw.Uint32())
		}
		items = append(items, item{fmt.Sprintf("text-%d", size), text})
		if binary && size > 0 {
			bytes[0] = 0xC3 // a lead byte that nothing follows as it should: never valid UTF-8
			if size > 1 {
				bytes[1] = 0x28
			}
			items = append(items, item{fmt.Sprintf("bytes-%d", size), bytes})
		}
	}
	if !binary {
		left = append(left, "random bytes (not claimed)")
	}
	return items, left
}

// straddled is longer than the buffers that are filled piece by piece; four
// bytes a character at four offsets put a boundary inside of one wherever it is.
const straddled = 20_000

// contents are payloads that are sound and are often damaged: text (RFC 3629,
// RFC 8259 section 7), numbers (RFC 8259 section 6) and times (RFC 3339), none of
// which a system may round or re-code.
func contents() []item {
	items := []item{
		{"nul", []byte("a\x00b")},
		{"bom", []byte("\ufeffmark")},
		{"controls", []byte("\x01\x02\x07\b\v\f\x0e\x1b\x1f\x7f")},
		{"line-ends", []byte("a\r\nb\nc\rd\u2028e\u2029f")},
		{"blanks", []byte(" \t a  b \t ")},
		{"quotes", []byte(`say "yes" \ or 'no' \n \u0041 \ud83d`)},
		{"markup", []byte("</script><b>&amp;</b><!-- %s {{.}} ${x} -->")},
		{"latin", []byte("Grüße, façade, ﬁ, ß")},
		{"combining", []byte("e\u0301 and \u00e9, \uac00 and \u1100\u1161")},
		{"right-to-left", []byte("שלום \u202eabc\u202c مرحبا")},
		{"emoji", []byte("🌡️ 👩‍👩‍👧‍👦 🇩🇪 👍🏽")},
		{"planes", []byte("\u0080\u07ff\u0800\ufffd\ufffe\uffff\U00010000\U0010ffff")},
		{"long-line", []byte(strings.Repeat("wide ", 12_000))},
		{"json-text", []byte(`{"name":"Grüße \"x\" \\ \u0000 \ud83c\udf21","list":[1,[],{},null,true,""]}`)},
	}
	for pad := range 4 {
		items = append(items, item{fmt.Sprintf("straddling-%d", pad), []byte(strings.Repeat("a", pad) + strings.Repeat("𝄞", straddled/4))})
	}
	for i, number := range []string{
		"-0", "0.1", "21.50", "16777217", "9007199254740993", "-9007199254740993", "18446744073709551615", "1e21", "1E-7", "123456.789012345",
		"0.30000000000000004", "2.2250738585072014e-308", "5e-324", "1.7976931348623157e308", "3.141592653589793", "100000000000000000000",
	} {
		items = append(items, item{fmt.Sprintf("number-%02d", i+1), []byte(`{"value":` + number + `}`)})
	}
	for i, at := range []string{
		"2026-03-29T01:59:59.123456789+01:00", "2026-10-25T02:30:00-00:00", "2016-12-31T23:59:60Z", "1969-12-31T23:59:59.5Z", "2038-01-19t03:14:08z",
	} {
		items = append(items, item{fmt.Sprintf("time-%d", i+1), []byte(`{"time":"` + at + `"}`)})
	}
	return items
}

// topicNames are names below the topic root that are sound (MQTT 5.0 section
// 4.7.1 and 4.7.3), differ, and are confused by systems that cut, fold, escape
// or normalise names.
func topicNames() []string {
	return []string{
		"t/a", "t/ab", "t/a/b", "t/A", "t/a/", "t/a//b", "t//a", "t/ a", "t/a ", "t/a b", "t/ab/c",
		"t/a.b", "t/a-b", "t/a_b", "t/a%2Fb", "t/a%62", `t/a\b`, `t/a"b`, "t/a'b", "t/a:b", "t/a,b", "t/a*b", "t/a>b", "t/a?b", "t/$a",
		"t/größe", "t/groesse", "t/\u00e9", "t/e\u0301", "t/温度", "t/🌡", "t/.", "t/..", "t/0", "t/00", "t/null",
		"t/" + strings.Repeat("long", 60), "t/" + strings.Repeat("long", 60) + "r", "t" + strings.Repeat("/deep", 20), "t" + strings.Repeat("/deep", 21),
	}
}
