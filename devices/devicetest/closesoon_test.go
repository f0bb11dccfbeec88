package devicetest

import (
	"errors"
	"testing"
	"time"
)

// listener is a test that hears what is said of it.
type listener struct {
	testing.TB
	logged, failed int
}

func (*listener) Helper()                 {}
func (l *listener) Logf(string, ...any)   { l.logged++ }
func (l *listener) Errorf(string, ...any) { l.failed++ }

func TestCloseSoonWaitsForNoServerThatStandsStill(t *testing.T) {
	release, left := make(chan struct{}), make(chan struct{})
	heard := &listener{TB: t}
	closeWithin(heard, time.Millisecond, "a server that stands still", func() error {
		defer close(left)
		<-release
		return nil
	})
	if heard.logged != 1 || heard.failed != 0 {
		t.Errorf("logged %d and failed %d times, want 1 and 0", heard.logged, heard.failed)
	}
	close(release)
	<-left
}

func TestCloseSoonReportsWhatCloseSays(t *testing.T) {
	for _, err := range []error{nil, errors.New("in use")} {
		heard := &listener{TB: t}
		CloseSoon(heard, "a server", func() error { return err })
		if (heard.failed == 1) != (err != nil) || heard.logged != 0 {
			t.Errorf("%v: logged %d and failed %d times", err, heard.logged, heard.failed)
		}
	}
}
