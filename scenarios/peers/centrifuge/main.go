// Command centrifuge is a bridge from MQTT to WebSocket as one builds it on the
// library centrifuge, which scalable dashboards are built on: devices speak to a
// mochi-mqtt broker in the same process, viewers speak centrifuge's JSON protocol.
// The library knows no wildcards, so a channel is an MQTT filter: each message is
// published once to every filter that somebody watches, or watched a while ago, and
// that takes its topic; each keeps a history from which viewers recover, as the
// library offers it. Nothing else is tuned. It is a system under test, judged as what a competent
// stranger would run.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// What a channel keeps for viewers that come back.
const (
	historySize = 10_000
	kept        = 5 * time.Minute
)

func main() {
	broker := flag.String("mqtt", "127.0.0.1:1883", "where to serve MQTT")
	listen := flag.String("listen", "127.0.0.1:8000", "where to serve viewers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *broker, *listen); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, brokerAt, listenAt string) error {
	watched := newFilters(kept)
	node, err := newNode(watched)
	if err != nil {
		return err
	}
	broker := mqtt.New(&mqtt.Options{})
	if err := errors.Join(
		broker.AddHook(new(auth.AllowHook), nil),
		broker.AddHook(&passOn{node: node, watched: watched}, nil),
		broker.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: brokerAt})),
	); err != nil {
		return err
	}
	if err := broker.Serve(); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{UseWriteBufferPool: true}))
	server := &http.Server{Addr: listenAt, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(err, broker.Close(), node.Shutdown(limited), server.Shutdown(limited))
}

// newNode makes a node to which everybody may connect and subscribe.
func newNode(watched *filters) (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError, LogHandler: func(e centrifuge.LogEntry) {
		log.Printf("%s: %v", e.Message, e.Fields)
	}})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			watched.add(e.Channel)
			done(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true}}, nil)
		})
		client.OnUnsubscribe(func(e centrifuge.UnsubscribeEvent) { watched.remove(e.Channel) })
	})
	return node, node.Run()
}

// passOn hands what devices publish to the node, before the broker acknowledges it.
type passOn struct {
	mqtt.HookBase
	node    *centrifuge.Node
	watched *filters
}

// ID implements mqtt.Hook.
func (p *passOn) ID() string { return "centrifuge" }

// Provides implements mqtt.Hook.
func (p *passOn) Provides(b byte) bool { return b == mqtt.OnPublish }

// message is what viewers get.
type message struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
}

// OnPublish implements mqtt.Hook.
func (p *passOn) OnPublish(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	takers := p.watched.taking(pk.TopicName)
	if len(takers) == 0 {
		return pk, nil
	}
	data, err := json.Marshal(message{pk.TopicName, string(pk.Payload)})
	if err != nil {
		return pk, fmt.Errorf("message of %q: %w", pk.TopicName, err)
	}
	for _, filter := range takers {
		if _, err := p.node.Publish(filter, data, centrifuge.WithHistory(historySize, kept)); err != nil {
			return pk, fmt.Errorf("publish to %q: %w", filter, err)
		}
	}
	return pk, nil
}
