package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	"plumbline/bridge/client"
)

// A program that follows temperatures and keeps, beside what it stores, the cursor up to which it has everything.
func Example() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := follow(ctx); err != nil {
		log.Print(err)
	}
}

func follow(ctx context.Context) error {
	authority, err := os.ReadFile("data/tls/ca.pem") // of the bridge's development certificate
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)

	c, err := client.Dial(ctx, client.Options{
		URL: "wss://127.0.0.1:8443/ws",
		TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		Token: func(context.Context) (string, error) { // as `bridged token --sub wall --grants 'plant/#'` prints it
			raw, err := os.ReadFile("wall.token")
			return strings.TrimSpace(string(raw)), err
		},
		OnEvent: func(e client.Event) {
			if e.Err != nil {
				log.Printf("%s: %v, again in %s", e.Kind, e.Err, e.Wait)
			}
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()

	var since client.Cursor
	if raw, err := os.ReadFile("cursor"); err == nil {
		if err := since.UnmarshalText(raw); err != nil {
			return err
		}
	}
	sub, err := c.Subscribe("plant/+/temperature", client.SubscribeOptions{Since: since, Snapshot: true})
	if err != nil {
		return err
	}
	for u, err := range sub.All(ctx) {
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			return err
		case u.Kind == client.KindGap:
			fmt.Printf("%d entries are missing: %s\n", u.Gap.Count, u.Gap.Reason)
		}
		for _, r := range u.Readings {
			fmt.Printf("%s %s %s\n", r.Time.Format("15:04:05.000"), r.Topic, r.Payload)
		}
		text, err := u.Cursor.MarshalText()
		if err != nil {
			return err
		}
		if err := os.WriteFile("cursor", text, 0o600); err != nil { // in one step with the readings, where that matters
			return err
		}
	}
	return nil
}
