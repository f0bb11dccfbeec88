package virtual

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Bounds of the control connection.
const (
	maxMessage = 1 << 20          // bytes of one message
	patience   = 10 * time.Second // an answer takes at most; a board that is held up by its UART gives none
)

// ErrGone says that the machine has ended.
var ErrGone = errors.New("virtual: the machine has ended")

// CommandError is the emulator's refusal of a command.
type CommandError struct {
	Class string `json:"class"` // for example "GenericError"
	Desc  string `json:"desc"`
}

// Error implements error.
func (e *CommandError) Error() string { return e.Class + ": " + e.Desc }

// message is anything that comes in: greeting, answer or event (QEMU Machine
// Protocol Specification, section 2).
type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *CommandError   `json:"error"`
	ID       uint64          `json:"id"`
	Event    string          `json:"event"`
	Data     json.RawMessage `json:"data"`
}

// monitor speaks the QEMU Machine Protocol over one connection.
type monitor struct {
	conn  net.Conn
	event func(name string, data json.RawMessage) // on the reading goroutine
	done  chan struct{}                           // closed when the reading has ended

	sending sync.Mutex // one command at a time

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan message
	greeted chan struct{} // closed at the greeting
	err     error
}

// newMonitor reads the greeting and enters command mode. It takes over conn.
func newMonitor(ctx context.Context, conn net.Conn, event func(string, json.RawMessage)) (*monitor, error) {
	m := &monitor{conn: conn, event: event, done: make(chan struct{}), waiting: map[uint64]chan message{}, greeted: make(chan struct{})}
	go m.read()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	select {
	case <-m.greeted:
		err = m.execute(ctx, "qmp_capabilities", nil, nil)
	case <-m.done:
		err = m.failure()
	case <-ctx.Done():
		err = fmt.Errorf("virtual: no greeting on the control connection: %w", ctx.Err())
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// read takes messages until the connection ends.
func (m *monitor) read() {
	defer close(m.done)
	in := bufio.NewScanner(m.conn)
	in.Buffer(make([]byte, 0, 4096), maxMessage)
	greeted := false
	for in.Scan() {
		var got message
		if err := json.Unmarshal(in.Bytes(), &got); err != nil {
			m.fail(fmt.Errorf("virtual: control connection: a line that is no message: %w", err))
			return
		}
		switch {
		case got.Event != "":
			m.event(got.Event, got.Data)
		case got.Greeting != nil && !greeted:
			greeted = true
			close(m.greeted)
		default:
			m.answer(got)
		}
	}
	m.fail(errors.Join(ErrGone, in.Err()))
}

// answer hands an answer to who waits for it; one that nobody waits for any more is dropped.
func (m *monitor) answer(got message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to, ok := m.waiting[got.ID]; ok {
		delete(m.waiting, got.ID)
		to <- got // has room for one
	}
}

func (m *monitor) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
	}
}

func (m *monitor) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// execute sends a command and waits for its answer, at most for patience. out
// may be nil. Refusals are *CommandError.
func (m *monitor) execute(ctx context.Context, command string, arguments, out any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answered := make(chan message, 1)
	m.mu.Lock()
	m.last++
	id := m.last
	m.waiting[id] = answered
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.waiting, id)
	}()
	if err := m.send(id, command, arguments); err != nil {
		return fmt.Errorf("virtual: %s: %w", command, err)
	}
	select {
	case got := <-answered:
		return decode(command, got, out)
	case <-m.done:
		return fmt.Errorf("virtual: %s: %w", command, m.failure())
	case <-ctx.Done():
		return fmt.Errorf("virtual: %s: no answer; is anybody reading the UART? %w", command, ctx.Err())
	}
}

func (m *monitor) send(id uint64, command string, arguments any) error {
	text, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        uint64 `json:"id"`
	}{command, arguments, id})
	if err != nil {
		return err
	}
	m.sending.Lock()
	defer m.sending.Unlock()
	if err := m.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return errors.Join(ErrGone, err)
	}
	if _, err := m.conn.Write(append(text, '\n')); err != nil {
		return errors.Join(ErrGone, err)
	}
	return nil
}

func decode(command string, got message, out any) error {
	if got.Error != nil {
		return fmt.Errorf("virtual: %s: %w", command, got.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(got.Return, out); err != nil {
		return fmt.Errorf("virtual: %s: the answer is not what was expected: %w", command, err)
	}
	return nil
}

// close ends the connection and waits for the reading goroutine.
func (m *monitor) close() {
	_ = m.conn.Close()
	<-m.done
}
