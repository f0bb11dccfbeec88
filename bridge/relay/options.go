package relay

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"plumbline/bridge/certificate"
)

// Options configures a Relay. Node, Cluster, URL, Lease, StreamBytes and Log are required.
type Options struct {
	Node                    string   // names this bridge among those of the cluster
	Cluster                 string   // names the cluster among others on the same Redis
	URL                     string   // redis://HOST:PORT/DB or rediss://…; with Sentinels HOST is the name of the master
	Sentinels               []string // host:port of each
	RedisCluster            []string // host:port of further servers of the Redis Cluster that URL is one of; nil = it is none
	CredentialsFile         string   // user and password in two lines; "" = none
	SentinelCredentialsFile string   // the same for the Sentinels
	SecretFile              string   // what nodes sign with; "" = the cluster's name, against accidents only
	CAFile                  string   // PEM; "" = the system's authorities
	CertFile                string   // PEM, with KeyFile; "" = no client certificate
	KeyFile                 string
	ServerName              string // "" = the host in URL
	Lease                   time.Duration
	StreamBytes             int64
	Ingests                 bool              // there are sources of which one node at a time may store: take part in the lease
	Same                    map[string]string // name → digest of settings that have to be the same on all nodes
	Own                     map[string]string // name → digest of settings that have to differ between nodes

	// Entering is called by Join before the journal becomes a copy of the log, or goes on as one. An error of it ends the joining. Nil = nobody.
	Entering func() error
	// Sources says how many of this node's sources are connected and how many there are, for the lease: who has more of them
	// stores. Nil = one of one.
	Sources func() (connected, all int)
	// Renewed is called when the journal has got another epoch or a hole that viewers with earlier cursors have to learn of:
	// it ends their sessions. Nil = nobody.
	Renewed func()
	Viewers func() int // how many there are, for the others to know; nil = 0
	Now     func() time.Time

	SettleWait time.Duration // for nodes that are known to say where they stand, when Redis is another; 0 = 3 s
	SeedWait   time.Duration // for the node whose last values a new epoch begins with; 0 = 10 s
	Log        *slog.Logger
}

const (
	beatEvery    = time.Second      // what each node says of itself
	freshFor     = 4 * beatEvery    // a node that said nothing for so long is away
	settleWait   = 3 * beatEvery    // default of Options.SettleWait
	seedWait     = 10 * time.Second // default of Options.SeedWait: a bridge that is being started takes a while
	joinersWait  = time.Second      // the same where nobody is known
	joinTimeout  = 20 * time.Second
	callTimeout  = 3 * time.Second // of one command
	batchBytes   = 64 << 10        // of what is stored together
	batchEntries = 512
	skewAllowed  = time.Second // beyond what the way takes
)

// key is what nodes sign with.
func (o Options) key() ([]byte, error) {
	if o.SecretFile == "" {
		k := sha256.Sum256([]byte("plumbline relay " + o.Cluster))
		return k[:], nil
	}
	text, err := os.ReadFile(o.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("relay.secretFile: %w", err)
	}
	text = []byte(strings.TrimSpace(string(text)))
	if len(text) < sumBytes {
		return nil, fmt.Errorf("relay.secretFile: %q has %d bytes, want %d at least, such as openssl rand -hex 32 gives", o.SecretFile, len(text), sumBytes)
	}
	return text, nil
}

// maxCredentialBytes bounds the credentials file.
const maxCredentialBytes = 64 << 10

// credentials reads user and password for Redis; both empty without file.
func (o Options) credentials() (user, password string, err error) {
	return readCredentials("relay.credentialsFile", o.CredentialsFile)
}

// sentinelCredentials is the same for the Sentinels.
func (o Options) sentinelCredentials() (user, password string, err error) {
	return readCredentials("relay.sentinelCredentialsFile", o.SentinelCredentialsFile)
}

// readCredentials reads user and password from a file that a setting names. A file of one line is a password without user.
func readCredentials(setting, file string) (user, password string, err error) {
	if file == "" {
		return "", "", nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", setting, err)
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"), "\n")
	switch {
	case len(raw) > maxCredentialBytes || len(lines) > 2 || lines[0] == "":
		return "", "", fmt.Errorf("%s: %q: want two lines, the user and the password, or the password alone", setting, file)
	case len(lines) == 1:
		return "", lines[0], nil
	}
	return lines[0], lines[1], nil
}

func (o Options) tlsConfig(host string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, Time: o.Now}
	if o.ServerName != "" {
		conf.ServerName = o.ServerName
	}
	var bad []error
	if o.CAFile != "" {
		roots, err := certificate.Authorities(o.CAFile)
		if err != nil {
			bad = append(bad, fmt.Errorf("relay.tls.ca: %w", err))
		}
		conf.RootCAs = roots
	}
	if o.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			bad = append(bad, fmt.Errorf("relay.tls: %w", err))
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, errors.Join(bad...)
}

// Check reads the files that the options name. The error says what is wrong with each of them.
func Check(o Options) error {
	_, kerr := o.key()
	_, _, cerr := o.credentials()
	_, _, serr := o.sentinelCredentials()
	_, terr := o.tlsConfig("")
	return errors.Join(kerr, cerr, serr, terr)
}
