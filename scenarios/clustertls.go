package scenarios

import (
	"context"
	"fmt"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/record"
	"plumbline/reports"
)

// How often all addresses are looked at, and for how long all must have shown the new certificate until it is in force: behind one
// address there may be several bridges, and a balancer that reloads may still take connections as it was.
const (
	lookEvery  = 200 * time.Millisecond
	lookSettle = 3 * time.Second
)

// renewal is a certificate that took the place of another one, and what was shown from then on.
type renewal struct {
	Serial  string      `json:"serial"`
	InForce bool        `json:"in_force"` // all addresses came to show it
	Shown   []shownCert `json:"shown"`
}

// shownCert is the certificate that an address showed.
type shownCert struct {
	At      int64  `json:"at"` // ns on the run clock
	Address string `json:"address"`
	Serial  string `json:"serial"`
	Error   string `json:"error,omitempty"` // why there is none
	Settled bool   `json:"settled"`         // the new one was in force
}

// renew replaces the certificate while everybody is connected.
func (s *striker) renew(int) ([]struck, error) {
	replace := func(ctx context.Context) error {
		serial, err := s.SUT.RenewCertificate(ctx)
		s.seen.Renewals = append(s.seen.Renewals, renewal{Serial: serial})
		return err
	}
	nothing := func(context.Context) error { return nil }
	return []struck{{Fault: restart{"renewal of the certificate", replace, nothing}, during: s.look}}, nil
}

// look looks at all addresses until the new certificate is in force, for limit at most, and then for a window.
func (s *striker) look(ctx context.Context, limit time.Duration) error {
	r := &s.seen.Renewals[len(s.seen.Renewals)-1]
	began := time.Now()
	old := began // when another one was shown last
	for time.Since(old) < lookSettle {
		if !s.show(ctx, r) {
			old = time.Now()
		}
		if old.Sub(began) > limit {
			return nil
		}
		if err := harness.Wait(ctx, lookEvery); err != nil {
			return err
		}
	}
	r.InForce = true
	for began = time.Now(); time.Since(began) < s.load.Window; {
		s.show(ctx, r)
		if err := harness.Wait(ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

// show looks at every address once and reports whether all showed the new certificate.
func (s *striker) show(ctx context.Context, r *renewal) bool {
	fresh := true
	for _, address := range s.SUT.TLSAddresses() {
		one := shownCert{Address: address, Settled: r.InForce}
		var err error
		if one.Serial, err = s.SUT.Shown(ctx, address); err != nil {
			one.Error = err.Error()
		}
		one.At = s.Clock.Now()
		fresh = fresh && one.Serial == r.Serial
		r.Shown = append(r.Shown, one)
	}
	return fresh
}

// renewed returns what a renewal of the certificate did wrong: who was cut off meanwhile, who was refused, and where another
// certificate than the newest was shown once that was in force.
func (j *judged) renewed(all []faultWindow, renewals []renewal) (found []reports.Finding) {
	if len(renewals) == 0 { // it was something else that cut viewers off
		return nil
	}
	bad := func(kind, subject string, at int64, detail string, values ...any) {
		found = append(found, reports.Finding{Kind: kind, Subject: subject, Confirmed: true, At: time.Duration(at), Detail: fmt.Sprintf(detail, values...)})
	}
	for _, e := range j.history.Log().Events {
		during := slices.ContainsFunc(all, func(f faultWindow) bool { return e.At >= f.onset && e.At <= f.end })
		if e.Kind == record.Disconnected && during && j.isViewer(e.Subject) {
			bad("cut-off", e.Subject, e.At, "the viewer lost its connection while the certificate was renewed")
		}
	}
	for i, r := range renewals {
		for _, s := range r.Shown {
			switch {
			case s.Error != "":
				bad("refused", s.Address, s.At, "after renewal %d a handshake failed: %s", i+1, s.Error)
			case s.Settled && s.Serial != r.Serial:
				bad("old-certificate", s.Address, s.At, "after renewal %d certificate %s was in force everywhere, and then %s was shown", i+1, r.Serial, s.Serial)
			}
		}
		if !r.InForce && len(r.Shown) > 0 {
			last := r.Shown[len(r.Shown)-1]
			bad("old-certificate", last.Address, last.At, "renewal %d never came into force: certificate %s was not shown by all addresses in %d looks", i+1, r.Serial, len(r.Shown))
		}
	}
	return found
}
