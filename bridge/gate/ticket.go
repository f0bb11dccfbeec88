package gate

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"sync"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/internal/peer"
)

// TicketLife is how long a ticket can be used, once.
const TicketLife = 30 * time.Second

// How many tickets may be open, in all and of one subject.
const (
	maxTickets        = 10_000
	maxSubjectTickets = 32
)

// tickets keeps what was handed out and not yet used. Only digests are kept. Safe for concurrent use.
type tickets struct {
	now    func() time.Time
	random io.Reader

	mu   sync.Mutex
	open map[[sha256.Size]byte]ticket
}

type ticket struct {
	id    auth.Identity
	class string
	until time.Time
}

func newTickets(now func() time.Time, random io.Reader) *tickets {
	return &tickets{now: now, random: random, open: map[[sha256.Size]byte]ticket{}}
}

// issue makes a ticket for id, for use from the class of addr; ok is false when too many are open.
func (t *tickets) issue(id auth.Identity, addr string) (text string, ok bool, err error) {
	var raw [32]byte
	if _, err := io.ReadFull(t.random, raw[:]); err != nil {
		return "", false, err
	}
	text = base64.RawURLEncoding.EncodeToString(raw[:])
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	own := 0
	for digest, one := range t.open {
		if !now.Before(one.until) {
			delete(t.open, digest)
		} else if one.id.Subject == id.Subject && one.id.Tenant == id.Tenant {
			own++
		}
	}
	if own >= maxSubjectTickets || len(t.open) >= maxTickets {
		return "", false, nil
	}
	t.open[sha256.Sum256([]byte(text))] = ticket{id, peer.Network(addr), now.Add(TicketLife)}
	return text, true, nil
}

// redeem takes a ticket out of use and returns whom it stands for. A ticket that comes from elsewhere is used up all the same:
// it has been seen by others.
func (t *tickets) redeem(text, addr string) (auth.Identity, bool) {
	digest := sha256.Sum256([]byte(text))
	t.mu.Lock()
	one, ok := t.open[digest]
	delete(t.open, digest)
	t.mu.Unlock()
	if !ok || !t.now().Before(one.until) || one.class != peer.Network(addr) {
		return auth.Identity{}, false
	}
	return one.id, true
}
