package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestN81Sizes: topics and properties at the limit pass, one more is refused.
func TestN81Sizes(t *testing.T) {
	b, _ := start(t, nil)
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	ask := func(what, topic string, props []byte) byte {
		c.publish(topic, "x", 1, 1, 0, props)
		_, code, _ := ackCode(c.want(4))
		t.Logf("%s: %#x", what, code)
		return code
	}
	fill := func(total int) []byte { // user properties that make the metadata exactly so long
		const head = 2 + 2 // length of origin, length of properties
		return userProp("k", strings.Repeat("v", total-head-5-1))
	}
	if code := ask("topic at the limit", strings.Repeat("t", 65535), nil); code != 0 {
		t.Errorf("topic of 65,535 bytes: %#x", code)
	}
	if code := ask("properties at the limit", "t", fill(maxMeta)); code != 0 {
		t.Errorf("properties at the limit: %#x", code)
	}
	if code := ask("properties over the limit", "t", fill(maxMeta+1)); code != 0x83 {
		t.Errorf("properties over the limit: %#x, want 0x83", code)
	}
	id := strings.Repeat("i", maxClientID)
	if body := dial(t, b, 5).connect(login{id: id, clean: true}); body[1] != 0 {
		t.Errorf("client id at the limit: %#x", body[1])
	}
	if body := dial(t, b, 5).connect(login{id: id + "i", clean: true}); body[1] != 0x85 {
		t.Errorf("client id over the limit: %#x, want 0x85", body[1])
	}
	var filters []byte
	for i := range maxFilters {
		filters = cat(filters, str(fmt.Sprint("f/", i)), []byte{0})
	}
	c.send(packet(0x82, []byte{0, 1, 0}, filters))
	if body := c.want(9); bytes.ContainsFunc(body[3:], func(r rune) bool { return r != 0 }) {
		t.Errorf("%d subscriptions: %x", maxFilters, body)
	}
	if code := c.sub("f/more", 0, nil); code != 0x97 {
		t.Errorf("one subscription more: %#x, want 0x97", code)
	}
	deep := strings.Repeat("+/", 20000) + "#"
	if code := c.sub(deep, 0, nil); code < 0x80 {
		t.Errorf("a filter of 20,001 levels: %#x", code)
	}
}
