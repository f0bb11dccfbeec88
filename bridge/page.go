package bridge

import (
	"net"
	"net/http"

	"plumbline/bridge/dashboard"
	"plumbline/bridge/dashboard/api"
)

// routePage adds who-am-I, and where the dashboard is on also its page and layouts.
func (b *Bridge) routePage(mux *http.ServeMux) {
	c := b.cfg
	o := api.Options{
		Identify: b.identify, Node: c.Node, Version: b.version, WebSocket: c.Viewers.Path, History: b.asked != nil,
		Commands: c.Viewers.Commands.Rate > 0, RequestRate: c.Viewers.RequestRate, Log: b.log, Now: b.now,
	}
	if c.Viewers.Dashboard {
		o.Layouts = b.file("layouts")
		page := b.gate.CleanURL(dashboard.New(dashboard.Embedded()))
		mux.Handle("/{$}", page)
		mux.Handle("/assets/", page)
	}
	api.New(o).Route(func(pattern string, h http.Handler) { mux.Handle(pattern, b.gate.CORS(h)) })
}

// ownHosts says which host names are those of this listener alone, for the origin of its own page; nil where it has none. With TLS
// they are those that its certificate names: under another one no browser would have come so far. Without, which is on loopback
// alone, they are those of loopback.
func (b *Bridge) ownHosts() func(host string) bool {
	if !b.cfg.Viewers.Dashboard {
		return nil
	}
	return func(host string) bool {
		if b.viewerCert != nil {
			return b.viewerCert.Names(host)
		}
		ip := net.ParseIP(host)
		return host == "localhost" || ip != nil && ip.IsLoopback()
	}
}
