package command

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// stuck is a journal whose disk does not answer.
type stuck struct{ asked chan struct{} }

func (s stuck) Append(ctx context.Context, _ journal.Message) (offset uint64, duplicate bool, err error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return 0, false, context.Cause(ctx)
}

func (stuck) Producer(string) (seq, offset uint64, known bool) { return 0, 0, false }

// TestCloseEndsWhatWaits: a drain does not wait for a command that nobody takes, and none begins after it.
func TestCloseEndsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{}, 2)
		d := New(Options{Journal: stuck{asked}, Rate: 10, Metrics: metrics.New(), Log: slog.New(slog.DiscardHandler)})
		defer d.Close()
		publish := func() error {
			grants := auth.Lists{auth.Publish: {"command/#"}}
			_, err := d.Publish(t.Context(), Sender{Identity: auth.Identity{Subject: "anna", Grants: grants}}, Message{Topic: "command/1"})
			return err
		}
		begin, told := time.Now(), make(chan error, 1)
		go func() { told <- publish() }()
		<-asked
		d.Close()
		for _, err := range []error{<-told, publish()} {
			var no *Refusal
			if !errors.As(err, &no) || no.Reason != "refused" {
				t.Errorf("told %v, want refused", err)
			}
		}
		if waited := time.Since(begin); waited > 0 {
			t.Errorf("the command waited for %s after Close", waited)
		}
	})
}
