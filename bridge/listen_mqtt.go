package bridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"plumbline/bridge/config"
	"plumbline/bridge/ingest"
	"plumbline/bridge/internal/presence"
)

// bindMQTT binds the broker's listeners, last: who connects there finds everything else working.
func (b *Bridge) bindMQTT(users *ingest.Users, mqttTLS *tls.Config) error {
	b.addrs.PID = os.Getpid()
	defer b.watch()
	if !b.cfg.MQTT.Embedded() {
		return nil
	}
	certs, err := clientCertificates(b.cfg.MQTT.TLS)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	doors, err := b.mqttListeners(mqttTLS)
	if err != nil {
		return errors.Join(err, closeAll(doors))
	}
	c := b.cfg.MQTT
	var others presence.Cluster
	if b.relay != nil {
		others = b.relay
	}
	b.broker, err = ingest.New(ingest.Options{
		Cluster: others,
		Journal: b.intake(), Listeners: doors, Users: users, Certificates: certs, MaxPacketBytes: int64(c.MaxPacketBytes), MaxClients: c.MaxClients,
		MaxPerAddress: c.MaxPerAddress, LoginFailures: c.LoginFailures, ConnectTimeout: c.ConnectTimeout.D(), SessionDir: b.file("sessions"),
		SessionSync: b.cfg.Journal.Sync == "durable", MaxSessions: c.Sessions.Max, SessionExpiry: c.Sessions.MaxExpiry.D(), Now: b.now, Metrics: b.m, Log: b.log,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrUnavailable, err), closeAll(doors))
	}
	if b.relay != nil {
		b.relay.Serve(b.broker)
	}
	return nil
}

// mqttListeners binds every MQTT address that is configured. With an error it returns those bound so far.
func (b *Bridge) mqttListeners(secure *tls.Config) (doors []ingest.Listener, err error) {
	c := b.cfg.MQTT
	first := secure
	if c.TLS.Listen != "" {
		first = nil
	}
	ws := &ingest.WebSocket{Path: c.WebSocket.Path, Origins: c.WebSocket.Origins}
	var secureWS *tls.Config
	if secure != nil {
		secureWS = secure.Clone()
		secureWS.NextProtos = []string{"http/1.1"}
	}
	for _, one := range []struct {
		key, addr string
		bound     *string
		ingest.Listener
	}{
		{"mqtt.listen", c.Listen, &b.addrs.MQTT, ingest.Listener{Name: "mqtt", TLS: first}},
		{"mqtt.tls.listen", c.TLS.Listen, &b.addrs.MQTTS, ingest.Listener{Name: "mqtts", TLS: secure}},
		{"mqtt.websocket.listen", c.WebSocket.Listen, &b.addrs.MQTTWS, ingest.Listener{Name: "ws", WebSocket: ws}},
		{"mqtt.websocket.tlsListen", c.WebSocket.TLSListen, &b.addrs.MQTTWSS, ingest.Listener{Name: "wss", TLS: secureWS, WebSocket: ws}},
	} {
		if one.addr == "" {
			continue
		}
		if one.Socket, err = listen(one.key, one.addr); err != nil {
			return doors, err
		}
		*one.bound = one.Socket.Addr().String()
		doors = append(doors, one.Listener)
	}
	return doors, nil
}

func closeAll(doors []ingest.Listener) error {
	var errs []error
	for _, d := range doors {
		errs = append(errs, d.Socket.Close())
	}
	return errors.Join(errs...)
}

// clientCertificates returns what is asked of MQTT clients on TLS, nil for nothing.
func clientCertificates(t config.MQTTTLS) (*ingest.Certificates, error) {
	if t.ClientAuth == "none" {
		return nil, nil
	}
	return ingest.NewCertificates(ingest.CertificateOptions{Require: t.ClientAuth == "require", CAFile: t.ClientCA, User: t.ClientUser, RevokedFile: t.RevokedFile})
}
