package bridge

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"plumbline/bridge/config"
	"plumbline/bridge/ingest/external"
)

// openExternal makes a source for each external broker. None connects before Run.
func (b *Bridge) openExternal() error {
	for _, c := range b.cfg.External {
		o := b.externalOptions(c)
		o.Journal = b.intake()
		s, err := external.New(o)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
		b.external = append(b.external, s)
	}
	return nil
}

func (b *Bridge) externalOptions(c config.External) external.Options {
	id := c.ClientID
	if id == "" {
		id = "plumbline-" + b.cfg.Node + "-" + c.Name
	}
	node := ""
	if b.cfg.Relay.On() {
		node = b.cfg.Node
	}
	return external.Options{
		Node: node,
		Name: c.Name, Address: c.Address(), TLS: c.TLSWanted(), ServerName: c.TLS.ServerName, CAFile: c.TLS.CA, CertFile: c.TLS.Cert, KeyFile: c.TLS.Key,
		ClientID: id, CredentialsFile: c.CredentialsFile, Prefix: c.Prefix, Filters: c.Filters, SessionExpiry: c.SessionExpiry.D(),
		ReceiveMaximum: c.ReceiveMaximum, MaxPacketBytes: int(c.MaxPacketBytes), Keepalive: c.Keepalive.D(), ConnectTimeout: c.ConnectTimeout.D(),
		ReconnectMin: c.ReconnectMin.D(), ReconnectMax: c.ReconnectMax.D(), StateFile: filepath.Join(b.cfg.Data, "external", c.Name+".json"),
		Metrics: b.m, Log: b.log,
	}
}

// runExternal runs the sources until the returned function is called, which waits for them.
func (b *Bridge) runExternal() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, s := range b.external {
		running.Go(func() { s.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// cutOff says why no message can come in: external brokers are all there is and none is connected. "" when one can.
func (b *Bridge) cutOff() string {
	all, connected := b.external.Status()
	if len(all) == 0 || connected || b.broker != nil {
		return ""
	}
	why := make([]string, 0, len(all))
	for _, s := range all {
		why = append(why, s.Name+": "+s.Error)
	}
	return "no external broker is connected: " + strings.Join(why, "; ")
}
