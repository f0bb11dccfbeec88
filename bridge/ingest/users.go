package ingest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge/topic"
)

// User is one entry of the users file.
type User struct {
	Name      string   `yaml:"name"`
	Hash      string   `yaml:"hash"`      // bcrypt, as `htpasswd -nB name` makes it
	Publish   []string `yaml:"publish"`   // filters of the topics it may publish to
	Subscribe []string `yaml:"subscribe"` // filters it may subscribe to, or to parts of
}

// Users holds who may connect and what each may do. It is safe for concurrent use.
type Users struct {
	byName map[string]User
	absent []byte        // hash that a login under an unknown name is checked against
	slots  chan struct{} // bounds the CPU that logins may take
	key    []byte        // for known

	mu    sync.Mutex
	known map[string][]byte // name → keyed digest of the password that bcrypt accepted; spares reconnects the cost
}

// LoadUsers reads a users file. Unknown keys, double names, bad hashes and bad filters are errors that name the user.
func LoadUsers(path string) (*Users, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ingest: read mqtt.usersFile: %w", err)
	}
	var file struct {
		Users []User `yaml:"users"`
	}
	if err := yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("ingest: mqtt.usersFile %q: %s", path, yaml.FormatError(err, false, false)) // without the source lines: they hold hashes
	}
	u, err := NewUsers(file.Users)
	if err != nil {
		return nil, fmt.Errorf("ingest: mqtt.usersFile %q: %w", path, err)
	}
	return u, nil
}

// NewUsers checks the list and returns it ready for use.
func NewUsers(list []User) (*Users, error) {
	u := &Users{byName: map[string]User{}, slots: make(chan struct{}, 2), key: make([]byte, 32), known: map[string][]byte{}}
	if _, err := rand.Read(u.key); err != nil {
		return nil, fmt.Errorf("random key: %w", err)
	}
	cost := bcrypt.DefaultCost
	for _, one := range list {
		if one.Name == "" {
			return nil, errors.New("a user has no name")
		}
		if _, double := u.byName[one.Name]; double {
			return nil, fmt.Errorf("user %q is there twice", one.Name)
		}
		c, err := bcrypt.Cost([]byte(one.Hash))
		if err != nil {
			return nil, fmt.Errorf("user %q: hash: %w: make one with htpasswd -nB %s", one.Name, err, one.Name)
		}
		cost = c
		for _, f := range append(append([]string{}, one.Publish...), one.Subscribe...) {
			if err := topic.ValidFilter(f); err != nil {
				return nil, fmt.Errorf("user %q: %w", one.Name, err)
			}
		}
		u.byName[one.Name] = one
	}
	var err error
	if u.absent, err = bcrypt.GenerateFromPassword(u.key, cost); err != nil { // an unknown name costs what a known one does
		return nil, fmt.Errorf("hash: %w", err)
	}
	return u, nil
}

// check reports whether the password is the user's. It takes as long for an unknown user.
func (u *Users) check(ctx context.Context, name string, password []byte) bool {
	user, ok := u.byName[name]
	mac := hmac.New(sha256.New, u.key)
	mac.Write([]byte(name + "\x00"))
	mac.Write(password)
	sum := mac.Sum(nil)
	u.mu.Lock()
	known := u.known[name]
	u.mu.Unlock()
	if ok && subtle.ConstantTimeCompare(known, sum) == 1 {
		return true
	}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return false
	}
	hash := u.absent
	if ok {
		hash = []byte(user.Hash)
	}
	if bcrypt.CompareHashAndPassword(hash, password) != nil || !ok {
		return false
	}
	u.mu.Lock()
	u.known[name] = sum
	u.mu.Unlock()
	return true
}

// may reports whether the user may publish to the topic, or subscribe to the filter.
func (u *Users) may(name, filter string, write bool) bool {
	user, ok := u.byName[name]
	if !ok {
		return false
	}
	grants := user.Subscribe
	if write {
		grants = user.Publish
	}
	for _, g := range grants {
		if topic.Contains(g, filter) {
			return true
		}
	}
	return false
}
