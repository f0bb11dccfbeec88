package fault_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness/fault"
)

const (
	mqttConnect = "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
	mqttConnack = "\x20\x02\x00\x00"
	mqttPingreq = "\xc0\x00"
)

// message makes a PUBLISH of QoS 0 that says text.
func message(text string) string {
	return string(binary.AppendUvarint([]byte{0x30}, uint64(3+len(text)))) + "\x00\x01t" + text
}

func messages(texts ...string) (out string) {
	for _, text := range texts {
		out += message(text)
	}
	return out
}

func TestPacketRules(t *testing.T) {
	type rule = fault.PacketRule
	nth := func(n uint64) fault.When { return fault.When{Nth: n} }
	for name, c := range map[string]struct {
		rule  fault.PacketRule
		want  string // of a b c d e, each followed by a ping
		fired uint64
	}{
		"drop":           {rule{Do: fault.Drop, Type: fault.Publish, When: nth(2)}, "a.|.c.d.e.", 1},
		"duplicate":      {rule{Do: fault.Duplicate, Type: fault.Publish, When: nth(2)}, "a.bb.c.d.e.", 1},
		"reorder":        {rule{Do: fault.Reorder, Type: fault.Publish, When: nth(2)}, "a..cb.d.e.", 1},
		"reorder pairs":  {rule{Do: fault.Reorder, Type: fault.Publish, When: fault.When{Every: 1}}, ".ba..dc..e", 3},
		"every second":   {rule{Do: fault.Drop, Type: fault.Publish, When: fault.When{Every: 2}}, "a..c..e.", 2},
		"every packet":   {rule{Do: fault.Drop, When: fault.When{Every: 1}}, "", 10},
		"another type":   {rule{Do: fault.Drop, Type: fault.Pingreq, When: fault.When{Every: 1}}, "abcde", 5},
		"by probability": {rule{Do: fault.Drop, Type: fault.Publish, When: fault.When{Probability: 0.5}, Seed: 4}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := through(t, fault.ProxyOptions{Protocol: fault.MQTT})
			client, server := r.pair(t)
			write(t, client, mqttConnect)
			reads(t, server, mqttConnect)
			c.rule.Way = fault.Upstream
			f := r.PacketFault(c.rule)
			must(t, f.Inject(t.Context()))
			for _, text := range []string{"a", "b", "c", "d", "e"} {
				write(t, client, message(text), mqttPingreq)
			}
			must(t, client.(interface{ CloseWrite() error }).CloseWrite())
			got, err := io.ReadAll(server)
			must(t, err)
			if c.rule.When.Probability > 0 { // counted, and the same again
				if n := uint64(strings.Count(string(got), "t")); n+f.Fired() != 5 || f.Fired() == 0 || n == 0 {
					t.Fatalf("%d of 5 arrived, fired %d times", n, f.Fired())
				}
				return
			}
			var want strings.Builder
			for _, r := range strings.ReplaceAll(c.want, "|", "") {
				if r == '.' {
					want.WriteString(mqttPingreq)
					continue
				}
				want.WriteString(message(string(r)))
			}
			if string(got) != want.String() || f.Fired() != c.fired {
				t.Fatalf("came %q, want %q; fired %d times, want %d", got, want.String(), f.Fired(), c.fired)
			}
		})
	}
}

func TestPacketCorruption(t *testing.T) {
	r := through(t, fault.ProxyOptions{Protocol: fault.MQTT})
	client, server := r.pair(t)
	write(t, client, mqttConnect)
	reads(t, server, mqttConnect)
	f := r.PacketFault(fault.PacketRule{Way: fault.Upstream, Do: fault.Corrupt, Type: fault.Publish, When: fault.When{Nth: 1}, Seed: 11})
	must(t, f.Inject(t.Context()))
	write(t, client, message("whole"), message("whole"))
	buf := make([]byte, len(message("whole")))
	_, err := io.ReadFull(server, buf)
	must(t, err)
	differ := 0
	for i, b := range []byte(message("whole")) {
		for x := b ^ buf[i]; x != 0; x &= x - 1 {
			differ++
		}
	}
	if differ != 1 || string(buf[:2]) != message("whole")[:2] {
		t.Errorf("%d bits differ in %q", differ, buf)
	}
	reads(t, server, message("whole"))
}

func TestPacketDelayKeepsOrderAndDoesNotAddUp(t *testing.T) {
	r := through(t, fault.ProxyOptions{Protocol: fault.MQTT})
	client, server := r.pair(t)
	write(t, client, mqttConnect)
	reads(t, server, mqttConnect)
	const by = 100 * time.Millisecond
	f := r.PacketFault(fault.PacketRule{Way: fault.Upstream, Do: fault.Delay, By: by, Type: fault.Publish, When: fault.When{Every: 1}})
	must(t, f.Inject(t.Context()))
	began := time.Now()
	var sent, want strings.Builder
	for i := range 400 {
		sent.WriteString(message(fmt.Sprint(i)))
	}
	want.WriteString(sent.String())
	write(t, client, sent.String())
	reads(t, server, want.String())
	if took := time.Since(began); took < by || took > 200*by {
		t.Errorf("four hundred packets, each %v late, took %v", by, took)
	}
}

func TestRevertLetsGoWhatARuleHeld(t *testing.T) {
	r := through(t, fault.ProxyOptions{Protocol: fault.MQTT})
	client, server := r.pair(t)
	write(t, client, mqttConnect)
	reads(t, server, mqttConnect)
	f := r.PacketFault(fault.PacketRule{Way: fault.Upstream, Do: fault.Reorder, Type: fault.Publish, When: fault.When{Nth: 1}})
	must(t, f.Inject(t.Context()))
	write(t, client, message("held"), mqttPingreq)
	reads(t, server, mqttPingreq)
	must(t, f.Revert(t.Context()))
	reads(t, server, message("held"))
	write(t, client, message("free"))
	reads(t, server, message("free"))
}

func TestPingStarvation(t *testing.T) {
	r := through(t, fault.ProxyOptions{Protocol: fault.MQTT})
	client, server := r.pair(t)
	write(t, client, mqttConnect)
	reads(t, server, mqttConnect)
	write(t, server, mqttConnack, "\xd0\x00")
	reads(t, client, mqttConnack+"\xd0\x00")
	f := r.PingStarvationFault()
	must(t, f.Inject(t.Context()))
	write(t, server, "\xd0\x00", message("data still comes"), "\xd0\x00")
	reads(t, client, message("data still comes"))
	must(t, client.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the data came %v", err)
	}
	must(t, f.Revert(t.Context()))
	must(t, client.SetReadDeadline(time.Now().Add(patience)))
	write(t, server, "\xd0\x00")
	reads(t, client, "\xd0\x00")
	if f.Fired() != 2 {
		t.Errorf("fired %d times", f.Fired())
	}
}

func TestSenselessPacketRulesAreRefused(t *testing.T) {
	type rule = fault.PacketRule
	mqtt := through(t, fault.ProxyOptions{Protocol: fault.MQTT})
	once := fault.When{Nth: 1}
	for _, r := range []fault.PacketRule{
		{}, {When: once}, {When: once, Do: fault.Split}, {When: once, Do: fault.CloseCode}, {When: once, Do: 99},
		{When: once, Do: fault.Delay}, {When: once, Do: fault.Drop, By: 1}, {When: once, Do: fault.Drop, Way: 7}, {When: once, Do: fault.Drop, Type: 16},
		{When: fault.When{Nth: 1, Every: 1}, Do: fault.Drop}, {When: fault.When{Probability: 1.1}, Do: fault.Drop}, {When: fault.When{Probability: -1}, Do: fault.Drop},
	} {
		if err := mqtt.PacketFault(r).Inject(t.Context()); err == nil {
			t.Errorf("%+v was injected", r)
		}
	}
	blind := through(t, fault.ProxyOptions{})
	if err := blind.PacketFault(rule{When: once, Do: fault.Drop}).Inject(t.Context()); err == nil || !strings.Contains(err.Error(), "ProxyOptions.Protocol") {
		t.Errorf("a proxy that looks at no packet said %v", err)
	}
}

// TestEqualSeedsLeaveEqualLogs holds two runs over the same traffic, on two
// connections at once, to the same bytes.
func TestEqualSeedsLeaveEqualLogs(t *testing.T) {
	run := func(seed uint64) string {
		r := through(t, fault.ProxyOptions{Protocol: fault.MQTT})
		first, firstServer := r.pair(t)
		second, secondServer := r.pair(t)
		conns := map[net.Conn]net.Conn{first: firstServer, second: secondServer}
		for client, server := range conns {
			write(t, client, mqttConnect)
			reads(t, server, mqttConnect)
		}
		for _, f := range []fault.Fault{
			r.PacketFault(fault.PacketRule{Way: fault.Upstream, Do: fault.Drop, Type: fault.Publish, When: fault.When{Probability: 0.3}, Seed: seed}),
			r.PacketFault(fault.PacketRule{Way: fault.Upstream, Do: fault.Corrupt, Type: fault.Publish, When: fault.When{Every: 7}, Seed: seed}),
		} {
			must(t, fault.During(limit(t), r.rec, f, func(context.Context) error {
				var arriving sync.WaitGroup
				for client, server := range conns {
					arriving.Go(func() { untilPing(t, server) })
					for range 100 {
						write(t, client, messages("x", "y"))
					}
					write(t, client, mqttPingreq)
				}
				arriving.Wait()
				return nil
			}))
		}
		return r.log(t)
	}
	log := run(5)
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if lines[0] != `{"format":"plumbline.faults/v1"}` || len(lines) < 150 {
		t.Fatalf("%d lines, the first is %s", len(lines), lines[0])
	}
	const action = `{"fault":"MQTT corrupt PUBLISH, every 7-th, upstream (seed 5)","do":"fault-action","what":"corrupt PUBLISH","link":2,"way":"upstream","n":7}`
	const end = `{"fault":"MQTT corrupt PUBLISH, every 7-th, upstream (seed 5)","do":"fault-end","fired":"56"}`
	if !slices.Contains(lines, action) || lines[len(lines)-1] != end {
		t.Fatalf("the log is\n%s", log)
	}
	for range 3 {
		if again := run(5); again != log {
			t.Fatalf("the same seed left another log:\n%s\nand\n%s", log, again)
		}
	}
	if run(6) == log {
		t.Error("another seed left the same log")
	}
}

// untilPing reads until a PINGREQ has come.
func untilPing(t *testing.T, from io.Reader) {
	t.Helper()
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(got, []byte(mqttPingreq)) {
		n, err := from.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Errorf("no ping came: %v", err)
			return
		}
	}
}
