package bridge

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/config"
	"plumbline/bridge/ingest"
	"plumbline/bridge/ingest/external"
	"plumbline/bridge/journal"
	"plumbline/bridge/relay"
)

// intake is the journal for those who append to it. With a relay what they append goes through that.
type intake interface {
	ingest.Journal
	external.Journal
}

// intake returns where messages are to be appended.
func (b *Bridge) intake() intake {
	if b.relay != nil {
		return b.relay.Log()
	}
	return b.journal
}

// clusterFile says that the journal is a copy of a cluster's log.
const clusterFile = "cluster"

// openAlone opens the journal of a bridge that is alone. One that was a copy of a cluster's log goes its own way from now on: under
// the cluster's epoch its entries would be taken for the cluster's.
func (b *Bridge) openAlone(o journal.Options) error {
	_, err := os.Stat(b.file(clusterFile))
	if err == nil {
		o.Renew = "the bridge has left its cluster"
	}
	j, jerr := journal.Open(o)
	if jerr != nil {
		return fmt.Errorf("%w: open the journal: %w", ErrUnavailable, jerr)
	}
	b.journal = j
	if err == nil {
		if err := os.Remove(b.file(clusterFile)); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return nil
}

// joinCluster opens the journal as a copy of the cluster's log.
func (b *Bridge) joinCluster(o journal.Options) error {
	if needsSecret(b.cfg) { // the others are told by a digest whether theirs is the same
		if _, err := auth.EnsureSecret(SecretFile(b.cfg), nil); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	opts := b.relayOptions()
	opts.Same, opts.Own = b.drift(), b.sessions()
	opts.Renewed, opts.Viewers, opts.Sources = b.renewed, b.viewersHere, b.sourcesHere
	// Before the journal is the cluster's: a crash in between may leave a file too many, which costs an epoch, and none too few. A
	// bridge whose joining is refused stays alone.
	opts.Entering = func() error { return os.WriteFile(b.file(clusterFile), []byte(b.cfg.Relay.Cluster+"\n"), 0o600) }
	r, err := relay.New(opts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	b.relay = r
	if b.journal, err = r.Join(context.Background(), o); err != nil { // its patience is its own
		b.journal = nil
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b.watchRelay()
	return nil
}

func (b *Bridge) relayOptions() relay.Options {
	c := b.cfg.Relay
	return relay.Options{
		Node: b.cfg.Node, Cluster: c.Cluster, URL: c.URL, Sentinels: c.Sentinels, RedisCluster: c.RedisCluster, CredentialsFile: c.CredentialsFile,
		SentinelCredentialsFile: c.SentinelCredentialsFile, SecretFile: c.SecretFile,
		CAFile: c.TLS.CA, CertFile: c.TLS.Cert, KeyFile: c.TLS.Key, ServerName: c.TLS.ServerName, Lease: c.Lease.D(), StreamBytes: int64(c.StreamBytes),
		Ingests: len(b.cfg.External) > 0, SettleWait: b.settleWait, Now: b.now, Log: b.log,
	}
}

// renewed ends the viewers whose cursors are of another epoch than the journal's.
func (b *Bridge) renewed() {
	b.wire.Renew(time.Second)
	b.httpwire.Renew()
}

func (b *Bridge) viewersHere() int {
	if b.wire == nil { // it is being built
		return 0
	}
	return b.wire.Sessions()
}

// sourcesHere says how many external brokers are connected, and how many there are.
func (b *Bridge) sourcesHere() (connected, all int) {
	status, _ := b.external.Status()
	for _, s := range status {
		if s.Connected {
			connected++
		}
	}
	return connected, len(status)
}

// drift returns digests of the settings that have to be the same on all nodes.
func (b *Bridge) drift() map[string]string {
	a := b.cfg.Auth
	tokens := fmt.Sprint(a.JWT.Alg, a.JWT.Issuer, a.JWT.Audience, a.JWT.SubjectClaim, a.JWT.GrantsClaim, a.JWT.TenantClaim, a.TenantPrefix, a.JWT.KeySetURL)
	for _, path := range []string{SecretFile(b.cfg), a.JWT.PublicKeyFile, a.JWT.KeySetFile} {
		if path != "" {
			key, err := os.ReadFile(path)
			tokens += fmt.Sprintf("\n%x %t", sha256.Sum256(key), err == nil)
		}
	}
	brokers := ""
	for _, e := range b.cfg.External {
		brokers += fmt.Sprintf("%s %s %q %q\n", e.Name, e.URL, e.Prefix, e.Filters)
	}
	return map[string]string{"auth": digestOf(tokens), "external": digestOf(brokers), "journal.sync": digestOf(b.cfg.Journal.Sync)}
}

// sessions returns digests of what names this node's sessions with external brokers.
func (b *Bridge) sessions() map[string]string {
	own := map[string]string{}
	for _, e := range b.cfg.External {
		own["clientId of external broker "+e.Name] = digestOf(b.externalOptions(e).ClientID)
	}
	return own
}

// digestOf makes a digest that tells settings apart and nothing else.
func digestOf(text string) string {
	h := hmac.New(sha256.New, []byte("plumbline drift"))
	_, _ = h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// watchRelay registers the figures of the relay.
func (b *Bridge) watchRelay() {
	for _, f := range []struct {
		name, help string
		read       func(relay.Stats) uint64
	}{
		{"bridge_redis_batches_total", "Batches that this node stored in the cluster's log.", func(s relay.Stats) uint64 { return s.Batches }},
		{"bridge_redis_entries_total", "Messages in them.", func(s relay.Stats) uint64 { return s.Entries }},
		{"bridge_redis_behind_total", "Times that another node was quicker and a batch was offered again.", func(s relay.Stats) uint64 { return s.Behind }},
		{"bridge_redis_fenced_total", "Batches refused because another node has the lease.", func(s relay.Stats) uint64 { return s.Fenced }},
		{"bridge_redis_gap_total", "Holes found in what came by Pub/Sub, and healed.", func(s relay.Stats) uint64 { return s.Gaps }},
		{"bridge_redis_peer_batches_total", "Batches got from another node's journal.", func(s relay.Stats) uint64 { return s.FromPeers }},
		{"bridge_redis_missing_total", "Messages that nobody had any more: declared to viewers as gaps.", func(s relay.Stats) uint64 { return s.Missing }},
		{"bridge_redis_probe_timeout_total", "Times that nothing came by Pub/Sub for too long.", func(s relay.Stats) uint64 { return s.Probes }},
		{"bridge_redis_renewed_total", "Times that the log got a new epoch while this node ran.", func(s relay.Stats) uint64 { return s.Renewed }},
		{"bridge_redis_forked_total", "Times that this node had something that the cluster's log had not, or had otherwise.", func(s relay.Stats) uint64 { return s.Forked }},
		{"bridge_redis_skipped_total", "Messages with QoS 0 of this node's own sessions with external brokers, left to the node that leads.", func(s relay.Stats) uint64 { return s.Skipped }},
		{"bridge_redis_dropped_total", "Batches that came faster than the journal took them, and were read again.", func(s relay.Stats) uint64 { return s.Dropped }},
		{"bridge_redis_unmatched_total", "Messages of this node's own sessions with external brokers that the leading node was taken to have stored, without proof.", func(s relay.Stats) uint64 { return s.Unmatched }},
		{"bridge_redis_rejected_total", "Messages on Redis that were not believed.", func(s relay.Stats) (n uint64) {
			for _, one := range s.Rejected {
				n += one
			}
			return n
		}},
	} {
		b.m.WatchTotal(f.name, f.help, func() float64 { return float64(f.read(b.relay.Stats())) })
	}
	b.m.Watch("bridge_redis_lag_offsets", "Messages in the cluster's log that this node does not have yet.", func() float64 { return float64(b.relay.Stats().Lag) })
	b.m.Watch("bridge_redis_nodes", "Nodes of the cluster that were heard of lately, this one too.", func() float64 { return float64(b.relay.Stats().Nodes) })
	b.m.Watch("bridge_redis_leading", "1 while this node stores what external brokers send.", func() float64 {
		if b.relay.Stats().Leading {
			return 1
		}
		return 0
	})
}

// checkRelay reads the files that the relay's settings name.
func checkRelay(c config.Config) error {
	if !c.Relay.On() {
		return nil
	}
	return relay.Check((&Bridge{cfg: c}).relayOptions())
}
