package gate

import (
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"plumbline/bridge/auth"
)

// CodeLife is how long a sign-in code can be used, once.
const CodeLife = 5 * time.Minute

// How many codes may be open, in all and of one account. With 50 bits each and the throttle before them, guessing one is hopeless.
const (
	maxCodes        = 1000
	maxAccountCodes = 8
	codeLetters     = 10
	codeAlphabet    = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's: what is written alike is one letter
)

// codes keeps tokens for who shall sign in with a short code, on a device where nobody wants to type a token. Codes are kept as
// digests; the tokens, as what the cookie will hold, are kept whole until they are fetched or CodeLife is over. Safe for concurrent use.
type codes struct {
	now    func() time.Time
	random io.Reader

	mu   sync.Mutex
	open map[[sha256.Size]byte]code
}

type code struct {
	token, account string
	until          time.Time
}

func newCodes(now func() time.Time, random io.Reader) *codes {
	return &codes{now: now, random: random, open: map[[sha256.Size]byte]code{}}
}

// issue makes a code for a token; ok is false when too many are open.
func (c *codes) issue(token, account string) (text string, ok bool, err error) {
	var raw [codeLetters]byte
	if _, err := io.ReadFull(c.random, raw[:]); err != nil {
		return "", false, err
	}
	for i := range raw {
		raw[i] = codeAlphabet[raw[i]%byte(len(codeAlphabet))] // 256 is a multiple of 32: no letter is likelier
	}
	text = string(raw[:])
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	own := 0
	for digest, one := range c.open {
		if !now.Before(one.until) {
			delete(c.open, digest)
		} else if one.account == account {
			own++
		}
	}
	if own >= maxAccountCodes || len(c.open) >= maxCodes {
		return "", false, nil
	}
	c.open[sha256.Sum256([]byte(text))] = code{token, account, now.Add(CodeLife)}
	return text[:codeLetters/2] + "-" + text[codeLetters/2:], true, nil
}

// redeem takes a code out of use and returns its token. Case, dashes and spaces do not count, nor does which of two letters that look alike
// was typed.
func (c *codes) redeem(text string) (token string, ok bool) {
	plain := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
	digest := sha256.Sum256([]byte(plain))
	c.mu.Lock()
	one, ok := c.open[digest]
	delete(c.open, digest)
	c.mu.Unlock()
	if !ok || !c.now().Before(one.until) {
		return "", false
	}
	return one.token, true
}

// fetch returns the token that a code stands for.
func (g *Gate) fetch(text, addr string) (Credential, error) {
	if g.Wait(addr) > 0 { // the code stays good for who comes from elsewhere
		return Credential{}, g.count(auth.Refuse(ReasonThrottled, "too many bad credentials from this address"))
	}
	if token, ok := g.codes.redeem(text); ok {
		return Credential{token: token}, nil
	}
	return Credential{err: auth.Refuse(ReasonCode, "the code is unknown, used or too old")}, nil
}

// Code serves POST: who shows a good token, by header or as the session cookie, gets a code by which the same token makes a session in
// another browser: POST /session with {"code":…}, once, within CodeLife. It is for Options.Cookie.
func (g *Gate) Code() http.Handler {
	return g.CORS(g.methods(map[string]http.HandlerFunc{http.MethodPost: g.give(stub{
		name: "code", life: CodeLife, longest: maxCookieToken,
		issue: func(token string, id auth.Identity, _ string) (string, bool, error) {
			return g.codes.issue(token, id.Account())
		},
	})}))
}
