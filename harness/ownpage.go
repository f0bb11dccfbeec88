package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"plumbline/harness/agent"
	"plumbline/harness/browser/ours"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// ownPage serves the page of the harness, for a system that has none.
type ownPage struct {
	server *http.Server
	served sync.WaitGroup
	url    string
}

// openOwn serves it, at an origin on this machine where the system accepts only that.
func openOwn(ctx context.Context, origin string) (*ownPage, error) {
	address := "127.0.0.1:0"
	if u, err := url.Parse(origin); err == nil && u.Scheme == "http" && u.Port() != "" && agent.IsLoopback(u.Hostname()) {
		address = u.Host
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("page of the harness: %w", err)
	}
	o := &ownPage{url: "http://" + listener.Addr().String() + "/"}
	o.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, ours.Page()) // a browser that has gone is told of by the page
	})}
	o.served.Go(func() { _ = o.server.Serve(listener) }) // it ends with close
	return o, nil
}

func (o *ownPage) close() error {
	if o == nil {
		return nil
	}
	err := o.server.Close()
	o.served.Wait()
	return err
}

// address is where it is opened for the viewers of a system. It may hold a secret.
func (o *ownPage) address(name, token string, v sut.Viewer, filters []string) (string, error) {
	place := viewer.TokenPlace{In: v.Token.In, Name: v.Token.Name}
	if place.In == "" {
		place.In = sut.TokenPlaces(v.Protocol)[0]
	}
	subprotocol := v.Subprotocol
	if v.Protocol == viewer.MQTT && subprotocol == "" {
		subprotocol = "mqtt"
	}
	at, _, offers, err := viewer.Opening(viewer.Config{Protocol: v.Protocol, URL: v.URL, Subprotocol: subprotocol, Place: place}, token)
	if err != nil {
		return "", fmt.Errorf("harness: page of the harness: %w", err)
	}
	g := ours.Given{Protocol: v.Protocol, URL: at, Subprotocols: offers}
	switch v.Protocol {
	case viewer.JSON:
		g.List, g.Topic, g.Payload, g.Frames = v.Message.List, v.Message.Topic, v.Message.Payload, viewer.Hellos(v.Hello, filters, token)
	default:
		g.Version, g.Filters, g.ID = v.MQTTVersion, filters, name
		if place.In == viewer.InMQTTPassword && token != "" {
			if g.User, g.Password = place.Name, token; g.User == "" {
				g.User = name
			}
		}
	}
	fragment, err := g.Fragment()
	if err != nil {
		return "", fmt.Errorf("harness: page of the harness: %w", err)
	}
	return o.url + "#" + fragment, nil
}
