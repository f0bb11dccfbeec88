package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/bridge/certificate"
	"plumbline/bridge/strictjson"
)

// How keys are fetched.
const (
	FetchTimeout = 5 * time.Second  // of one request; a token with an unknown key id waits for it
	FetchPause   = 10 * time.Second // least time between two requests, whatever the tokens ask for
	fileInterval = time.Second      // how often a file is looked at
)

// KeysOptions says where a key set comes from: File or URL. Log is required.
type KeysOptions struct {
	File    string
	URL     string        // https, or http on loopback
	CA      string        // PEM file with the authorities of the URL's certificate; "" = the system's
	Cache   string        // file that keeps the URL's last good answer over a restart; "" = none
	Refresh time.Duration // how often the URL is read; at least FetchPause
	Now     func() time.Time
	Log     *slog.Logger
	Failed  func() // called for each failed fetch; nil = none
}

// Keys is a key set that follows its source. While the source is away or gives nonsense the last good set stays in force; with
// no set at all every token is refused with ReasonKeys. Safe for concurrent use.
type Keys struct {
	opts   KeysOptions
	client *http.Client
	set    atomic.Pointer[keySet] // nil = none yet

	mu      sync.Mutex
	last    time.Time     // of the last fetch's begin
	flight  chan struct{} // closed when the fetch under way has ended; nil = none is
	raw     []byte        // what set was made of
	lastErr string
}

// NewKeys reads the set once. A file must be good; a URL that does not answer is an error only in the log, when it takes the last
// answer from Cache.
func NewKeys(o KeysOptions) (*Keys, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keys{opts: o}
	if o.File != "" {
		raw, err := readBounded(o.File)
		if err == nil {
			err = k.take(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("auth: auth.jwt.keySetFile %q: %w", o.File, err)
		}
		return k, nil
	}
	var err error
	if k.client, err = keysClient(o.CA); err != nil {
		return nil, err
	}
	k.refresh(true)
	if k.set.Load() == nil && o.Cache != "" {
		if raw, err := k.kept(); err == nil && k.take(raw) == nil {
			o.Log.Warn("token keys taken from the last good answer", "file", o.Cache)
		}
	}
	return k, nil
}

// The file Cache holds the last good answer with one more member, which says whose answer it is: keys of a source that the operator
// has left, maybe because they were stolen, are not to come back while the new one is away.
const sourceMember = "plumbline_source"

func (k *Keys) source() string {
	sum := sha256.Sum256([]byte(k.opts.URL)) // which may hold a key
	return hex.EncodeToString(sum[:])
}

// kept reads the last good answer of this source.
func (k *Keys) kept() ([]byte, error) {
	raw, err := readBounded(k.opts.Cache)
	if err != nil {
		return nil, err
	}
	source := ""
	if err := strictjson.Decode(raw, 8, map[string]any{sourceMember: &source}); err != nil {
		return nil, err
	}
	if source != k.source() {
		k.opts.Log.Warn("token keys kept from another source are not taken", "file", k.opts.Cache)
		return nil, errors.New("auth: the kept answer is another source's")
	}
	return raw, nil
}

// keep writes a good answer for the next start.
func (k *Keys) keep(raw []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	members[sourceMember] = json.RawMessage(strconv.Quote(k.source()))
	raw, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return replace(k.opts.Cache, raw)
}

// keysClient follows no redirect: the operator named the one place whose word counts.
func keysClient(ca string) (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		var err error
		if conf.RootCAs, err = certificate.Authorities(ca); err != nil {
			return nil, fmt.Errorf("auth: auth.jwt.keySetCA: %w", err)
		}
	}
	return &http.Client{
		Timeout: FetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it redirects: name the place itself")
		},
		Transport: &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
	}, nil
}

// Run follows the source until ctx ends, and returns nil then.
func (k *Keys) Run(ctx context.Context) error {
	every := k.opts.Refresh
	if k.opts.File != "" {
		every = fileInterval
	}
	tick := time.NewTicker(max(every, fileInterval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			k.settle()
			return nil
		case <-tick.C:
			k.refresh(true)
		}
	}
}

// Reload reads the source now, or waits for the read under way; FetchTimeout bounds it.
func (k *Keys) Reload() { k.refresh(true) }

// settle waits for the fetch under way, which FetchTimeout bounds.
func (k *Keys) settle() {
	k.mu.Lock()
	flight := k.flight
	k.mu.Unlock()
	if flight != nil {
		<-flight
	}
}

// alg returns the algorithm of the key with that id. An id that is not known asks the source again, once in FetchPause however
// many ask, and waits for its answer.
func (k *Keys) alg(kid string) (alg string, set *keySet, known bool) {
	for asked := false; ; asked = true {
		if set = k.set.Load(); set != nil {
			if alg, known = set.algs[kid]; known {
				return alg, set, true
			}
		}
		if asked {
			return "", set, false
		}
		k.refresh(false) // were it too soon: the answer to another may have come since the look above
	}
}

// refresh reads the source, or waits for who is at it already; unless now is set, not again within FetchPause.
func (k *Keys) refresh(now bool) {
	k.mu.Lock()
	if flight := k.flight; flight != nil {
		k.mu.Unlock()
		<-flight
		return
	}
	if !now && k.opts.Now().Sub(k.last) < FetchPause {
		k.mu.Unlock()
		return
	}
	flight := make(chan struct{})
	k.flight, k.last = flight, k.opts.Now()
	k.mu.Unlock()
	k.load()
	k.mu.Lock()
	k.flight = nil
	k.mu.Unlock()
	close(flight)
}

// load reads the source and takes what is good.
func (k *Keys) load() {
	var raw []byte
	var err error
	if k.opts.File != "" {
		raw, err = readBounded(k.opts.File)
	} else {
		raw, err = k.fetch()
	}
	if err == nil {
		err = k.take(raw)
	}
	text := ""
	if err != nil {
		text = err.Error()
		if k.opts.Failed != nil {
			k.opts.Failed()
		}
	}
	k.mu.Lock()
	fresh := text != k.lastErr
	k.lastErr = text
	k.mu.Unlock()
	if err != nil && fresh {
		k.opts.Log.Error("token keys not read, the last good ones stay in force", "error", err, "have", k.set.Load() != nil)
	}
}

// take makes raw the set in force, if it is one.
func (k *Keys) take(raw []byte) error {
	k.mu.Lock()
	same := k.raw != nil && bytes.Equal(raw, k.raw)
	k.mu.Unlock()
	if same {
		return nil
	}
	set, err := parseKeySet(raw, k.opts.File != "", k.opts.Log)
	if err != nil {
		return err
	}
	k.set.Store(set)
	k.mu.Lock()
	k.raw = raw
	k.mu.Unlock()
	k.opts.Log.Info("token keys taken", "keys", len(set.algs))
	if k.opts.URL != "" && k.opts.Cache != "" {
		if err := k.keep(raw); err != nil {
			k.opts.Log.Warn("token keys not kept for the next start", "error", err)
		}
	}
	return nil
}

// fetch reads the URL, a bounded answer in bounded time. Its errors name the setting, not the URL, which may hold a key.
func (k *Keys) fetch() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), FetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.opts.URL, nil)
	if err != nil {
		return nil, errors.New("auth: auth.jwt.keySetURL: no URL")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil { // url.Error repeats the URL
			err = inner
		}
		return nil, fmt.Errorf("auth: auth.jwt.keySetURL: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("auth: auth.jwt.keySetURL: it answers %d", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxSetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("auth: auth.jwt.keySetURL: %w", err)
	}
	return raw, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxSetBytes+1))
}

// replace writes a file in one step, readable by its owner.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
