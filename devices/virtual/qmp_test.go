package virtual

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

const greeting = `{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}` + "\r\n"

// emulator plays the far end of a control connection: it answers each command
// with what say returns for it; "" closes the connection.
func emulator(t *testing.T, say func(command string, id uint64) string) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	var done sync.WaitGroup
	done.Go(func() {
		defer func() { _ = far.Close() }()
		if _, err := io.WriteString(far, greeting); err != nil {
			return
		}
		in := bufio.NewScanner(far)
		for in.Scan() {
			var command struct {
				Execute string `json:"execute"`
				ID      uint64 `json:"id"`
			}
			if err := json.Unmarshal(in.Bytes(), &command); err != nil {
				t.Errorf("not a command: %q", in.Text())
				return
			}
			answer := fmt.Sprintf(`{"return": {}, "id": %d}`, command.ID)
			if command.Execute != "qmp_capabilities" {
				answer = say(command.Execute, command.ID)
			}
			if answer == "" {
				return
			}
			if _, err := io.WriteString(far, answer+"\r\n"); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = near.Close()
		done.Wait()
	})
	return near
}

func dialled(t *testing.T, conn net.Conn, event func(string, json.RawMessage)) *monitor {
	t.Helper()
	if event == nil {
		event = func(string, json.RawMessage) {}
	}
	m, err := newMonitor(t.Context(), conn, event)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

func TestCommandsAreAnsweredEventsToldAndStrayAnswersDropped(t *testing.T) {
	events := make(chan string, 1)
	m := dialled(t, emulator(t, func(command string, id uint64) string {
		return `{"timestamp": {"seconds": 1}, "event": "RESET", "data": {"guest": true}}` + "\n" +
			`{"return": "nobody asked", "id": 999}` + "\n" +
			fmt.Sprintf(`{"return": %q, "id": %d}`, command, id)
	}), func(name string, _ json.RawMessage) { events <- name })
	var got string
	if err := m.execute(t.Context(), "query-status", nil, &got); err != nil || got != "query-status" {
		t.Errorf("answer %q, error %v", got, err)
	}
	if e := <-events; e != "RESET" {
		t.Errorf("event %q", e)
	}
}

func TestWhatGoesWrongOnTheControlConnectionIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		is     error
		text   string
	}{
		"refused":           {`{"error": {"class": "GenericError", "desc": "value 200000 is out of range"}, "id": 2}`, nil, "GenericError: value 200000 is out of range"},
		"another shape":     {`{"return": [1], "id": 2}`, nil, "not what was expected"},
		"no message":        {`}{`, nil, "no message"},
		"closed":            {``, ErrGone, "qom-set"},
		"longer than bound": {strings.Repeat("x", maxMessage+1), ErrGone, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			m := dialled(t, emulator(t, func(string, uint64) string { return c.answer }), nil)
			var out string
			err := m.execute(t.Context(), "qom-set", nil, &out)
			if err == nil || (c.is != nil && !errors.Is(err, c.is)) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %v with %q", err, c.is, c.text)
			}
		})
	}
}

func TestARefusalIsOfItsType(t *testing.T) {
	m := dialled(t, emulator(t, func(_ string, id uint64) string {
		return fmt.Sprintf(`{"error": {"class": "CommandNotFound", "desc": "no"}, "id": %d}`, id)
	}), nil)
	var refused *CommandError
	if err := m.execute(t.Context(), "dance", nil, nil); !errors.As(err, &refused) || refused.Class != "CommandNotFound" {
		t.Errorf("error %v", err)
	}
}

func TestAnEndingContextEndsTheWaitForAnAnswer(t *testing.T) {
	asked := make(chan struct{})
	release := make(chan struct{})
	m := dialled(t, emulator(t, func(string, uint64) string { close(asked); <-release; return "" }), nil)
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if err := m.execute(ctx, "stop", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWhoDoesNotGreetIsNoEmulator(t *testing.T) {
	near, far := net.Pipe()
	go func() { _ = far.Close() }()
	if _, err := newMonitor(t.Context(), near, nil); !errors.Is(err, ErrGone) {
		t.Errorf("error %v", err)
	}
}
