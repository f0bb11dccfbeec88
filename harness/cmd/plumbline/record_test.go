package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
	"plumbline/reports"
)

const recordPatience = time.Minute

// verb runs one command line within this process.
func verb(ctx context.Context, args ...string) (code int, out, complaint string) {
	var stdout, stderr bytes.Buffer
	code = execute(ctx, streams{in: strings.NewReader(""), out: &stdout, err: &stderr, getenv: func(string) string { return "" }}, args)
	return code, stdout.String(), stderr.String()
}

// TestWhatIsRecordedPlaysAgain records a device on a pseudo terminal and plays the
// file into another, where the real driver reads it.
func TestWhatIsRecordedPlaysAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), recordPatience)
	defer cancel()
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{Unpaced: true})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	var talk sync.WaitGroup
	talk.Go(func() {
		for ctx.Err() == nil {
			if _, err := twin.Write(codec.AppendNMEA(nil, "GPHDT,274.07,T")); err != nil {
				return
			}
			_ = twin.Flush(ctx)
		}
	})
	defer talk.Wait()
	defer func() { _ = twin.Close() }()
	file := filepath.Join(t.TempDir(), "a.rec")
	code, out, complaint := verb(ctx, "record", "serial:"+twin.Path()+"?codec=nmea0183", "--out", file, "--until", "10")
	if code != reports.ExitPass || !strings.Contains(out, "10 frames are there") {
		t.Fatalf("record: %d %s%s", code, out, complaint)
	}
	link := filepath.Join(t.TempDir(), "port")
	playing, stop := context.WithCancel(ctx)
	defer stop()
	var player sync.WaitGroup
	player.Go(func() { verb(playing, "replay", file, "--link", link, "--loops", "1000000") })
	defer player.Wait()
	defer stop()
	var line *serialline.Line
	for tick := time.NewTicker(20 * time.Millisecond); line == nil; { // until the port is there
		select {
		case <-ctx.Done():
			t.Fatal("the port did not appear")
		case <-tick.C:
			line, _ = serialline.Open(ctx, serialline.Config{Port: link, Codec: codec.NMEA0183{}})
		}
	}
	defer func() { _ = line.Close() }()
	if s, err := line.Read(ctx); err != nil || !strings.HasPrefix(string(s.Raw), "$GPHDT,274.07") {
		t.Errorf("the driver reads %q, %v", s.Raw, err)
	}
}

func TestRecordRefuses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), recordPatience)
	defer cancel()
	dir := t.TempDir()
	out := filepath.Join(dir, "a.rec")
	secret := filepath.Join(dir, "key")
	if err := os.WriteFile(secret, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const port = "serial:/nonexistent/port"
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, "only ports", []string{"record", "sim:gps", "--out", out}},
		{2, "no file", []string{"record", port}},
		{2, "no codec that says", []string{"record", port, "--out", out, "--until", "3"}},
		{2, "nobody knows what the bytes mean", []string{"record", port, "--out", out, "--anonymise"}},
		{2, "is not known", []string{"record", port + "?codec=candump", "--out", out, "--anonymise"}},
		{2, "can be guessed", []string{"record", port + "?codec=nmea0183", "--out", out, "--anonymise", "--key-file", secret}},
		{2, "without --anonymise", []string{"record", port, "--out", out, "--key-file", secret}},
		{2, "a whole number from 4096 to", []string{"record", port, "--out", out, "--max-bytes", "7"}},
		{4, "/nonexistent/port", []string{"record", port, "--out", out}},
		{4, "no.rec", []string{"replay", filepath.Join(dir, "no.rec")}},
		{2, "a number from 0.001 on", []string{"replay", out, "--speed", "0"}},
		{2, "no address of a broker", []string{"fleet", "--broker", "mqtt://u:sesame@h"}},
		{2, "means nothing here", []string{"fleet", "--broker", "mqtt://h:1#a/#"}},
		{2, "means nothing here", []string{"fleet", "--broker", "mqtt://h:1?rule=tasmota"}},
	} {
		bounded, done := context.WithCancel(ctx)
		code, _, complaint := verb(bounded, c.args...)
		done()
		if code != c.code || !strings.Contains(complaint, c.says) || strings.Contains(complaint, "sesame") {
			t.Errorf("plumbline %s: %d %q; want %d and %q", strings.Join(c.args, " "), code, complaint, c.code, c.says)
		}
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a recording of nothing is left: %v", err)
	}
}

// TestCutRecordingIsPlayedUpToTheCut: the message says at which byte.
func TestCutRecordingIsPlayedUpToTheCut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cut.rec")
	text := `{"format":"plumbline.recording.v2","codec":"nmea0183"}` + "\n" + `{"us":0,"raw":"$GPHDT,274.07,T*03\r\n"}` + "\n"
	if err := os.WriteFile(file, []byte(text+`{"us":9,"ra`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, complaint := verb(t.Context(), "watch", "replay:"+file)
	if code != reports.ExitUnavailable || !strings.Contains(out, "1 samples") || !strings.Contains(complaint, "at byte 95") || !strings.Contains(complaint, "cut within a line, after 1 frames") {
		t.Errorf("%d %s%s", code, out, complaint)
	}
}
