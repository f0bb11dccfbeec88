package config

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"plumbline/bridge/auth"
)

// Auth configures who may look.
type Auth struct {
	JWT              JWT    `yaml:"jwt"`
	TenantPrefix     string `yaml:"tenantPrefix"`     // such as tenants/{tenant}/; "" = no tenants
	Cookie           string `yaml:"cookie"`           // name of the browser's session cookie, __Host-…; "" = none
	Tickets          bool   `yaml:"tickets"`          // single-use tickets for URLs
	SubprotocolToken bool   `yaml:"subprotocolToken"` // take a token among the WebSocket subprotocols
	FreeFailures     int    `yaml:"freeFailures"`     // bad tokens from one address before it has to wait; 0 = it never has to
	RevocationFile   string `yaml:"revocationFile"`
}

// JWT configures which tokens are good: one key, or a set of them by key id.
type JWT struct {
	Alg           string   `yaml:"alg"` // of the one key; each key of a set has its own
	SecretFile    string   `yaml:"secretFile"`
	PublicKeyFile string   `yaml:"publicKeyFile"`
	KeySetFile    string   `yaml:"keySetFile"`    // JSON Web Key Set (RFC 7517), followed while running
	KeySetURL     string   `yaml:"keySetURL"`     // the same by https; http on loopback only
	KeySetCA      string   `yaml:"keySetCA"`      // PEM, the authorities of the URL's certificate; "" = the system's
	KeySetRefresh Duration `yaml:"keySetRefresh"` // how often the URL is read
	Issuer        string   `yaml:"issuer"`
	Audience      string   `yaml:"audience"`
	SubjectClaim  string   `yaml:"subjectClaim"`
	GrantsClaim   string   `yaml:"grantsClaim"`
	TenantClaim   string   `yaml:"tenantClaim"`
	Leeway        Duration `yaml:"leeway"`
}

// KeySet reports whether tokens are checked with a set of keys.
func (j JWT) KeySet() bool { return j.KeySetFile != "" || j.KeySetURL != "" }

func defaultAuth() Auth {
	return Auth{FreeFailures: 60, JWT: JWT{
		Alg: "HS256", KeySetRefresh: Duration(10 * time.Minute), Issuer: "plumbline", Audience: "bridge", SubjectClaim: "sub",
		GrantsClaim: "grants", TenantClaim: "tenant", Leeway: Duration(2 * time.Second),
	}}
}

// cookieName is a token of RFC 6265 section 4.1.1 with the prefix by which browsers hold a cookie to this very host, https and
// path /: no other site of the domain can plant one (RFC 6265bis section 4.1.3.2).
var cookieName = regexp.MustCompile("^__Host-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

// DashboardCookie is the session cookie's name where the dashboard needs one and auth.cookie gives none.
const DashboardCookie = "__Host-plumbline"

// SessionCookie returns the name of the session cookie; "" = there is none.
func (c Config) SessionCookie() string {
	if c.Auth.Cookie == "" && c.Viewers.Dashboard {
		return DashboardCookie
	}
	return c.Auth.Cookie
}

func (c Config) validateAuth(say sayFunc) {
	a, j := c.Auth, c.Auth.JWT
	oneOf(say, "auth.jwt.alg", j.Alg)
	within(say, "auth.jwt.leeway", j.Leeway, 0, time.Minute)
	if j.Issuer == "" {
		say("auth.jwt.issuer", "is empty: name the issuer that tokens must have")
	}
	if j.Audience == "" {
		say("auth.jwt.audience", "is empty: name the audience that tokens must have")
	}
	claims := map[string]string{}
	for _, claim := range [][2]string{{"subjectClaim", j.SubjectClaim}, {"grantsClaim", j.GrantsClaim}, {"tenantClaim", j.TenantClaim}} {
		key, name := "auth.jwt."+claim[0], claim[1]
		if name == "" {
			say(key, "is empty: name the claim, or leave the setting out")
		} else if other := claims[name]; other != "" {
			say(key, "%q is also %s: each has a claim of its own", name, other)
		}
		claims[name] = key
	}
	c.validateKeys(say)
	if a.Cookie != "" && !cookieName.MatchString(a.Cookie) {
		say("auth.cookie", "%q: want a name that begins with __Host-, such as __Host-plumbline", a.Cookie)
	}
	inRange(say, "auth.freeFailures", int64(a.FreeFailures), 0, 1_000_000)
	if a.Cookie != "" && len(c.Viewers.Origins) == 0 && !c.Viewers.Dashboard {
		say("auth.cookie", "counts only with an Origin, and viewers.origins is empty: name the pages' origins, or set viewers.dashboard")
	}
	if err := auth.CheckTenantPrefix(a.TenantPrefix); err != nil {
		say("auth.tenantPrefix", "%q: %v", a.TenantPrefix, err)
	}
}

func (c Config) validateKeys(say sayFunc) {
	j := c.Auth.JWT
	given := slices.DeleteFunc([]string{j.SecretFile, j.PublicKeyFile, j.KeySetFile, j.KeySetURL}, func(s string) bool { return s == "" })
	if len(given) > 1 {
		say("auth.jwt", "has several of secretFile, publicKeyFile, keySetFile and keySetURL: keep one")
	}
	if !j.KeySet() && !strings.HasPrefix(j.Alg, "HS") && j.PublicKeyFile == "" {
		say("auth.jwt.publicKeyFile", "is empty: algorithm %s checks with a public key", j.Alg)
	}
	within(say, "auth.jwt.keySetRefresh", j.KeySetRefresh, auth.FetchPause, 24*time.Hour)
	if j.KeySetURL == "" {
		if j.KeySetCA != "" {
			say("auth.jwt.keySetCA", "is for keySetURL, which is empty")
		}
		return
	}
	if err := checkKeySetURL(j.KeySetURL); err != nil {
		say("auth.jwt.keySetURL", "%v", err)
	}
}

// checkKeySetURL wants https, or http on loopback. The errors do not repeat the URL, which may hold a password.
func checkKeySetURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("want a URL such as https://login.example.org/keys, without user and fragment")
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Scheme == "http" && ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !local {
		return errors.New("want https: who can change the keys on their way lets in whom it likes")
	}
	return nil
}
