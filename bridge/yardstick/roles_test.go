//go:build linux

package yardstick

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleVariable names the part that a child process of this test binary plays.
const roleVariable = "YARDSTICK_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func(*bufio.Reader) error{"publish": publishRole, "view": viewRole, "hold": holdRole}
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run()) //nolint:forbidigo // TestMain ends the process
	}
	if err := roles[role](bufio.NewReader(os.Stdin)); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1) //nolint:forbidigo // this process is the role
	}
}

// child is a process of this binary in a role. It reads its task as a line of JSON and answers in lines of JSON.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startRole(tb testing.TB, role string, task any) *child {
	tb.Helper()
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	must(tb, err)
	out, err := c.cmd.StdoutPipe()
	must(tb, err)
	must(tb, c.cmd.Start())
	tb.Cleanup(c.stop)
	c.in, c.out = in, bufio.NewReader(out)
	c.tell(tb, task)
	return c
}

func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func (c *child) tell(tb testing.TB, v any) {
	tb.Helper()
	must(tb, json.NewEncoder(c.in).Encode(v))
}

func (c *child) hear(tb testing.TB, v any) {
	tb.Helper()
	line, err := c.out.ReadBytes('\n')
	must(tb, err)
	must(tb, json.Unmarshal(line, v))
}

func listen(r *bufio.Reader, v any) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// load is what the publisher sends: so many messages a second, in 1,000 ticks a second, over one MQTT connection.
type load struct {
	Address      string
	Rate         int // messages a second; below 1,000 ticks carry one each, above it must be a multiple of 1,000
	Seconds      int
	PayloadBytes int
	Topics       int
}

func (l load) messages() int { return l.Rate * l.Seconds }

// sent tells how late the publisher was with its ticks.
type sent struct {
	Messages int
	LateP99  time.Duration
	LateMost time.Duration
}

func publishRole(in *bufio.Reader) error {
	var l load
	if err := listen(in, &l); err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", l.Address, dialLimit)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c, mqttConnect("yardstick-publisher")); err != nil {
		return err
	}
	var ack [4]byte
	if _, err := io.ReadFull(c, ack[:]); err != nil || ack[3] != 0 {
		return fmt.Errorf("CONNACK % x: %w", ack, err)
	}
	out, err := l.publish(c)
	if err != nil {
		return err
	}
	return say(out)
}

func (l load) publish(c net.Conn) (out sent, err error) {
	runtime.LockOSThread()
	clock := newMonotonic()
	perTick, ticks := max(1, l.Rate/1000), min(l.Rate, 1000)
	period := int64(time.Second) / int64(ticks)
	start := clock.now() + int64(200*time.Millisecond)
	late := make([]int64, 0, ticks*l.Seconds)
	var buf []byte
	padding := slices.Repeat([]byte("x"), l.PayloadBytes)
	for k := range ticks * l.Seconds {
		intended := start + int64(k)*period
		buf = buf[:0]
		for range perTick {
			topic := fmt.Sprintf("yard/line/%02d", out.Messages%l.Topics)
			buf = append(buf, "\x30"+mqttLength(2+len(topic)+l.PayloadBytes)+mqttString(topic)...)
			at := len(buf)
			buf = appendMark(buf, intended, uint32(out.Messages))
			buf = append(buf, padding[len(buf)-at:]...)
			out.Messages++
		}
		ts := unix.NsecToTimespec(intended)
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
		}
		late = append(late, clock.now()-intended)
		if _, err := c.Write(buf); err != nil {
			return out, err
		}
	}
	slices.Sort(late)
	out.LateP99, out.LateMost = quantile(late, 0.99), quantile(late, 1)
	return out, nil
}

// viewing is the task of the viewers' process: so many viewers, each of which is owed Messages.
type viewing struct {
	Target   target
	Viewers  int
	Messages int
}

// seen is what the viewers saw together.
type seen struct {
	Delivered, Lost, Twice, Disordered int
	P50, P90, P99, P999, Most          time.Duration
}

// patience is how long viewers wait for the next message before they take the rest for lost.
const patience = 5 * time.Second

// viewRole opens the viewers, says so, waits to be told that the publisher has ended, and reports.
func viewRole(in *bufio.Reader) error {
	var task viewing
	if err := listen(in, &task); err != nil {
		return err
	}
	v := &viewers{clock: newMonotonic(), owed: task.Messages, each: make([]viewer, task.Viewers)}
	for i := range v.each {
		s, err := task.Target.open()
		if err != nil {
			return err
		}
		v.each[i].lags = make([]int64, 0, task.Messages)
		v.wg.Go(func() { v.each[i].err = v.watch(&v.each[i], s) })
		defer func() { _ = s.Close() }()
	}
	if err := say("open"); err != nil {
		return err
	}
	var over string
	if err := listen(in, &over); err != nil {
		return err
	}
	v.settle()
	return say(v.report())
}

type viewers struct {
	clock monotonic
	owed  int
	got   atomic.Int64
	each  []viewer
	wg    sync.WaitGroup
}

type viewer struct {
	lags       []int64
	next       uint32
	twice, bad int
	err        error
}

func (v *viewers) watch(one *viewer, s *socket) error {
	var now int64
	sink := &scanner{found: func(intended int64, number uint32) {
		one.lags = append(one.lags, now-intended)
		switch {
		case number == one.next-1:
			one.twice++
		case number < one.next:
			one.bad++
		default:
			one.next = number + 1
		}
		v.got.Add(1)
	}}
	return s.pump(func() { now = v.clock.now() }, sink)
}

// settle waits until everything has come, or nothing comes any more.
func (v *viewers) settle() {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	last, since := v.got.Load(), time.Now()
	for range poll.C {
		got := v.got.Load()
		if got >= int64(v.owed*len(v.each)) || got == last && time.Since(since) > patience {
			return
		}
		if got != last {
			last, since = got, time.Now()
		}
	}
}

// report joins the viewers' samples. What never came is infinitely late: it stands at the end of the sample.
func (v *viewers) report() (out seen) {
	var all []int64
	for i := range v.each {
		one := &v.each[i]
		all = append(all, one.lags...)
		out.Twice += one.twice
		out.Disordered += one.bad
	}
	out.Delivered = len(all)
	out.Lost = max(0, v.owed*len(v.each)-len(all)+out.Twice)
	for range out.Lost {
		all = append(all, int64(time.Hour))
	}
	slices.Sort(all)
	out.P50, out.P90, out.P99, out.P999, out.Most = quantile(all, .5), quantile(all, .9), quantile(all, .99), quantile(all, .999), quantile(all, 1)
	return out
}
