package scenarios

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/mqttwire"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

const (
	ghostClient = "plumbline-twin"
	ghostGrace  = 200 * time.Millisecond // what was under way when the second came may still arrive
	ghostWatch  = 5 * time.Second        // that the first is watched at least after the second came
	ghostPacket = 1 << 20                // bytes of the largest packet that is read
)

// takeoverFacts is what became of a client whose session another one took.
type takeoverFacts struct {
	Tried   bool          `json:"tried"`
	Refused string        `json:"refused,omitempty"` // why one of the two did not get in
	From    int64         `json:"from_ns"`           // the second one's CONNACK, on the run clock
	Closed  bool          `json:"closed"`            // the first connection was closed by the broker
	After   time.Duration `json:"after_ns"`          // that took, from the second one's CONNACK on
	Served  int           `json:"served"`            // messages that the first still got, later than the grace
	Second  int           `json:"second"`            // messages that the second got
	Digest  uint64        `json:"digest"`            // of what the first published after the second had come
	// Times from the second one's CONNACK on; 0 where there was none.
	Last    time.Duration `json:"last_ns,omitempty"`    // the last of the messages of Served
	Wrote   time.Duration `json:"wrote_ns,omitempty"`   // the first had published
	Watched time.Duration `json:"watched_ns,omitempty"` // the first was watched no longer
}

// takeOver connects a client to the broker and then another one under the same
// client identifier (MQTT 5 section 3.1.4, [MQTT-3.1.4-3]), and watches the first for so long.
func takeOver(ctx context.Context, b *harness.Bench, watch time.Duration) (f takeoverFacts, err error) {
	whole := ctx // only its end is no doing of the system
	ctx, cancel := context.WithTimeout(whole, patience+watch)
	defer cancel()
	first, err := subscribeAs(ctx, b, ghostClient)
	if err != nil {
		f.Refused = err.Error()
		return f, whole.Err()
	}
	defer first.close()
	second, err := subscribeAs(ctx, b, ghostClient)
	if err != nil {
		f.Refused = err.Error()
		return f, whole.Err()
	}
	defer second.close()
	f.Tried, f.From = true, int64(second.begun.Sub(b.Clock.Epoch()))
	payload := []byte(`{"canary":"of a session that was taken over"}`)
	f.Digest = b.Recorder.Digest(payload)
	publish, err := mqttwire.AppendMessage(nil, mqttwire.V311, mqttwire.Message{Topic: []byte(harness.Topic(b.Devices()[0].ID)), Payload: payload})
	if err != nil {
		return f, err
	}
	ctx = whole // the time for coming in is not that of the watch
	_ = harness.Wait(ctx, ghostGrace)
	_, _ = first.conn.Write(publish) // that it cannot is what must be
	f.Wrote = time.Since(second.begun)
	timer := time.NewTimer(watch - ghostGrace)
	defer timer.Stop()
	select {
	case <-first.ended:
		// The second has to be seen at work before the verdict; that it never is, is for the judge.
		_ = harness.Until(ctx, watch, "the second client gets messages", func() bool { return second.since(second.begun) > 0 })
	case <-timer.C:
	case <-ctx.Done():
	}
	f.Closed, f.After = first.over(second.begun)
	f.Served, f.Second = first.since(second.begun.Add(ghostGrace)), second.since(second.begun)
	f.Last, f.Watched = first.last(second.begun), time.Since(second.begun)
	return f, whole.Err()
}

// mqttClient is a subscriber that counts what it gets.
type mqttClient struct {
	conn  net.Conn
	begun time.Time // CONNACK had come
	ended chan struct{}

	mu      sync.Mutex
	came    []time.Time // of messages; at most as many as matter
	endedAt time.Time
}

// subscribeAs connects to the broker and subscribes to everything of the devices.
func subscribeAs(ctx context.Context, b *harness.Bench, id string) (*mqttClient, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.SUT.Broker().Host)
	if err != nil {
		return nil, err
	}
	if config := b.SUT.BrokerTLS(); config != nil {
		if config.ServerName == "" {
			config.ServerName = b.SUT.Broker().Hostname()
		}
		conn = tls.Client(conn, config)
	}
	c := &mqttClient{conn: conn, ended: make(chan struct{})}
	_ = conn.SetDeadline(time.Now().Add(patience))
	username, password := b.SUT.BrokerAuth()
	connect, err := mqttwire.Connection{Version: mqttwire.V311, ClientID: id, Clean: true, KeepAlive: 60, Username: username, Password: password}.Packet()
	subscription := mqttwire.Subscription{Version: mqttwire.V311, ID: 1, Filters: []string{harness.AllTopics}}
	subscribe, failed := subscription.Packet()
	if err = errors.Join(err, failed); err == nil {
		_, err = conn.Write(append(connect, subscribe...))
	}
	in := bufio.NewReader(conn)
	for answered := false; err == nil && !answered; {
		var p mqttwire.Packet
		if p, err = mqttwire.Read(in, ghostPacket); err != nil {
			break
		}
		switch p.Type {
		case mqttwire.TypeConnack:
			c.begun = time.Now()
			var a mqttwire.Answer
			if a, err = p.Connack(mqttwire.V311); err == nil && a.Code != 0 {
				err = fmt.Errorf("the broker refused client %q: %s", id, a.Reason)
			}
		case mqttwire.TypeSuback:
			answered = true
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("client %q: %w", id, err)
	}
	_ = conn.SetDeadline(time.Time{}) // how long it is watched is for the caller to say
	go c.read(in)
	return c, nil
}

// read counts messages until the connection ends.
func (c *mqttClient) read(in *bufio.Reader) {
	defer close(c.ended)
	for {
		p, err := mqttwire.Read(in, ghostPacket)
		now := time.Now()
		c.mu.Lock()
		if err != nil {
			c.endedAt = now
			c.mu.Unlock()
			return
		}
		if p.Type == mqttwire.TypePublish && len(c.came) < 100_000 {
			c.came = append(c.came, now)
		}
		c.mu.Unlock()
	}
}

// since returns how many messages came after an instant.
func (c *mqttClient) since(t time.Time) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.came {
		if at.After(t) {
			n++
		}
	}
	return n
}

// last returns how long after an instant the last message came, 0 when none did.
func (c *mqttClient) last(t time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.came) == 0 {
		return 0
	}
	return max(c.came[len(c.came)-1].Sub(t), 0)
}

// over reports whether the connection has ended, and how long after an instant.
func (c *mqttClient) over(from time.Time) (bool, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.endedAt.IsZero() {
		return false, 0
	}
	return true, max(c.endedAt.Sub(from), 0)
}

// close ends the connection and waits for its reader.
func (c *mqttClient) close() {
	_ = c.conn.Close()
	<-c.ended
}

// taken judges that a session that was taken over is over.
func (j *judged) taken(id string, f takeoverFacts) {
	if !j.Applies(id) {
		return
	}
	y := &tally{}
	if f.Tried {
		y.Checks = 3
	}
	ended, doubts, limit := reports.Float(f.After.Seconds()*1e3), int64(0), j.Limit(id).Time
	// find enters what a broker took longer over than it may, unless the rig held it up.
	find := func(kind, detail string, may, took time.Duration) {
		held := j.stood.Excused(may, took, f.From, f.From+int64(took))
		if held {
			doubts++
		}
		y.found(id, kind, "first client", detail, !held)
	}
	if f.Tried && !f.Closed {
		ended = nan
		find("ghost", fmt.Sprintf("its connection was still open %s after another client had taken its session", patient(j.Limit(id), ghostWatch)), limit, f.Watched)
	}
	if f.Served > 0 {
		find("ghost-served", fmt.Sprintf("it still got %d messages", f.Served), ghostGrace, f.Last)
	}
	for _, r := range j.history.Log().Records {
		if r.Kind == record.Witnessed && f.Tried && r.Digest == f.Digest {
			find("ghost-heard", "what it published after that was taken", ghostGrace, f.Wrote)
			break
		}
	}
	figure := &reports.Measurement{
		Name: "second client's CONNACK to the end of the first connection", Unit: "ms", Limit: reports.Float(limit.Seconds() * 1e3),
		Estimate: ended, Lower: nan, Upper: nan, Confidence: 0.99, N: 1, NEff: 1, VIF: 1,
	}
	if j.stood.Excused(limit, f.After, f.From, f.From+int64(f.After)) {
		figure.Estimate = nan
		doubts++
	}
	gates := rigAway(doubts, j.stood.Untold(ghostGrace))
	if f.Refused != "" {
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Cure: "a broker that lets both clients in", Detail: f.Refused})
	}
	if f.Tried && f.Second == 0 {
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Cure: "a broker that serves the second client", Detail: "the second client got nothing either"})
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: y.Checks, Findings: y.Found, Figure: figure, Seed: j.Seed(), Gates: gates,
	}))
}

// keepTakeover is a drive's part of REC-06.
func keepTakeover(ctx context.Context, t *spec.Trial, b *harness.Bench) (f takeoverFacts, err error) {
	if !t.Applies("REC-06") {
		return f, nil
	}
	t.Step("connect a client to the broker, and another one under its client identifier")
	return takeOver(ctx, b, patient(t.Limit("REC-06"), ghostWatch))
}
