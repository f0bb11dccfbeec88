package ingest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/goccy/go-yaml"

	"plumbline/bridge/topic"
)

// User is one entry of the users file. In filters %u stands for its name and %c for the client id, when they hold no wildcard
// and no slash. What a deny covers is denied, whatever is allowed.
type User struct {
	Name          string   `yaml:"name"`
	Hash          string   `yaml:"hash"`          // bcrypt or argon2id; "" = it comes with a certificate only
	Publish       []string `yaml:"publish"`       // filters of the topics it may publish to
	Subscribe     []string `yaml:"subscribe"`     // filters it may subscribe to, or to parts of
	DenyPublish   []string `yaml:"denyPublish"`   // filters of topics it may not publish to
	DenySubscribe []string `yaml:"denySubscribe"` // filters of topics it never gets
}

// Users holds who may connect and what each may do. A nil one is everybody. It is safe for concurrent use.
type Users struct {
	file  *followed     // nil when made from a list
	slots chan struct{} // bounds the CPU and memory that logins may take
	key   []byte        // for digests
	table atomic.Pointer[userTable]

	mu    sync.Mutex
	known map[string]knownLogin
}

// userTable is one state of the file.
type userTable struct {
	byName map[string]User
	absent []hash // what logins under unknown names are checked against: the hashes' costs, with nobody's password
}

// knownLogin is a login that was good: it spares a reconnect the cost of the hash, and others' guesses do not lock it out.
type knownLogin struct {
	sum  []byte // keyed digest of name, hash and password
	addr string
}

// LoadUsers reads a users file, which [Broker.Reload] follows. Unknown keys, double names, bad hashes and bad filters are errors
// that name the user and no hash.
func LoadUsers(path string) (*Users, error) {
	u, err := newUsers()
	if err != nil {
		return nil, err
	}
	u.file = &followed{path: path, key: "mqtt.usersFile", parse: u.parse}
	if err := u.file.first(); err != nil {
		return nil, err
	}
	return u, nil
}

// NewUsers checks the list and returns it ready for use.
func NewUsers(list []User) (*Users, error) {
	u, err := newUsers()
	if err != nil {
		return nil, err
	}
	return u, u.set(list)
}

func newUsers() (*Users, error) {
	u := &Users{slots: make(chan struct{}, 2), key: make([]byte, 32), known: map[string]knownLogin{}}
	if _, err := rand.Read(u.key); err != nil {
		return nil, fmt.Errorf("random key: %w", err)
	}
	return u, nil
}

func (u *Users) parse(raw []byte) error {
	var file struct {
		Users []User `yaml:"users"`
	}
	if err := yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()); err != nil {
		return errors.New(yaml.FormatError(err, false, false)) // without the source lines: they hold hashes
	}
	return u.set(file.Users)
}

func (u *Users) set(list []User) error {
	t := &userTable{byName: map[string]User{}}
	kinds := map[string]bool{}
	for _, one := range list {
		if one.Name == "" {
			return errors.New("a user has no name")
		}
		if _, double := t.byName[one.Name]; double {
			return fmt.Errorf("user %q is there twice", one.Name)
		}
		if one.Hash != "" {
			h, err := parseHash(one.Hash)
			if err != nil {
				return fmt.Errorf("user %q: hash: %w: make one with htpasswd -nB %s", one.Name, err, one.Name)
			}
			if !kinds[h.cost()] {
				kinds[h.cost()] = true
				t.absent = append(t.absent, h.dummy())
			}
		}
		for _, f := range slices.Concat(one.Publish, one.Subscribe, one.DenyPublish, one.DenySubscribe) {
			if err := topic.ValidFilter(expand(f, "u", "c")); err != nil {
				return fmt.Errorf("user %q: %w", one.Name, err)
			}
		}
		t.byName[one.Name] = one
	}
	if len(t.absent) == 0 {
		t.absent = []hash{bcryptHash{"$2a$10$"}.dummy()}
	}
	u.table.Store(t)
	return nil
}

// reload looks at the file and reports whether another state is in force.
func (u *Users) reload(log *slog.Logger) bool { return u != nil && u.file != nil && u.file.again(log) }

func (u *Users) stale() float64 {
	if u == nil || u.file == nil {
		return 0
	}
	return u.file.stale()
}

// has reports whether there is such a user.
func (u *Users) has(name string) bool {
	_, ok := u.table.Load().byName[name]
	return ok
}

// mark changes when the user is removed or gets another password; "" for a nil Users.
func (u *Users) mark(name string) string {
	if u == nil {
		return ""
	}
	one, ok := u.table.Load().byName[name]
	if !ok {
		return "gone"
	}
	return base64.StdEncoding.EncodeToString(u.digest("mark", one.Hash))
}

func (u *Users) digest(parts ...string) []byte {
	mac := hmac.New(sha256.New, u.key)
	for _, p := range parts {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// knows reports whether this is the account's last good login once more, from the same address: it costs little and tells a
// guesser nothing, so it is asked whoever else has guessed.
func (u *Users) knows(name string, password []byte, addr string) bool {
	user, ok := u.table.Load().byName[name]
	u.mu.Lock()
	known := u.known[name]
	u.mu.Unlock()
	sum := u.digest(name, user.Hash, string(password))
	return ok && user.Hash != "" && known.addr == addr && subtle.ConstantTimeCompare(known.sum, sum) == 1
}

// check reports whether the password is the user's. It takes as long for an unknown user as for a known one whose hash has the
// same cost. It blocks while two other logins are being checked, until ctx ends.
func (u *Users) check(ctx context.Context, name string, password []byte, addr string) bool {
	t := u.table.Load()
	user, ok := t.byName[name]
	ok = ok && user.Hash != ""
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return false
	}
	against := t.absent[int(binary.BigEndian.Uint32(u.digest("absent", name)))%len(t.absent)] // the same one for the same name
	if ok {
		var err error
		if against, err = parseHash(user.Hash); err != nil {
			return false
		}
	}
	if !against.matches(password) || !ok {
		return false
	}
	u.mu.Lock()
	u.known[name] = knownLogin{u.digest(name, user.Hash, string(password)), addr}
	u.mu.Unlock()
	return true
}

// may reports whether the user, as this client, may publish to the topic, or subscribe to the filter.
func (u *Users) may(name, client, filter string, write bool) bool {
	user, ok := u.table.Load().byName[name]
	if !ok {
		return false
	}
	grants, denies := user.Subscribe, user.DenySubscribe
	if write {
		grants, denies = user.Publish, user.DenyPublish
	}
	return !slices.ContainsFunc(denies, func(rule string) bool {
		rule = expand(rule, name, client)
		return rule == "" || topic.Contains(rule, filter) // what cannot be said is denied
	}) && slices.ContainsFunc(grants, func(rule string) bool {
		rule = expand(rule, name, client)
		return rule != "" && topic.Contains(rule, filter)
	})
}

// expand fills in the placeholders of a filter. It returns "" when a name would change what the filter means.
func expand(filter, name, client string) string {
	if !strings.Contains(filter, "%") {
		return filter
	}
	if strings.Contains(filter, "%u") && strings.ContainsAny(name, "+#/") || strings.Contains(filter, "%c") && strings.ContainsAny(client, "+#/") {
		return ""
	}
	return strings.NewReplacer("%u", name, "%c", client).Replace(filter)
}
