package config

import (
	"net/url"
	"os"
	"strings"
)

// HistoryInflux configures the store in InfluxDB.
type HistoryInflux struct {
	URL             string `yaml:"url"`
	Version         int    `yaml:"version"`         // of the write endpoint: 1, 2 or 3
	Database        string `yaml:"database"`        // of version 2: the bucket
	StateDatabase   string `yaml:"stateDatabase"`   // for the cursor, kept for ever; "" = database with _state
	Org             string `yaml:"org"`             // version 2
	CredentialsFile string `yaml:"credentialsFile"` // version 1: user and password in two lines; 2 and 3: the token; read anew at each request
	CA              string `yaml:"ca"`              // PEM file; "" = the system's authorities
}

// validate never repeats the URL: somebody may have put a password there.
func (i HistoryInflux) validate(say sayFunc) {
	u, err := url.Parse(i.URL)
	switch {
	case i.URL == "":
		say("history.influx.url", "is missing: want https://HOST:8086")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		say("history.influx.url", "want https://HOST:PORT, or http://HOST:PORT on this machine")
	case u.User != nil:
		say("history.influx.url", "holds a user or password: put them into a file and name it in history.influx.credentialsFile")
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		say("history.influx.url", "is http:// to a host that is not loopback, so anyone on the way could read and change everything: use https://")
	}
	inRange(say, "history.influx.version", int64(i.Version), 1, 3)
	if i.Version == 2 && i.Org == "" {
		say("history.influx.org", "is missing: version 2 wants the organisation that owns the bucket")
	}
	if i.Version > 1 && i.CredentialsFile == "" {
		say("history.influx.credentialsFile", "is missing: versions 2 and 3 want a token; name the file that holds it")
	}
	for _, part := range [][2]string{{"database", i.Database}, {"stateDatabase", i.State()}} {
		key, name := part[0], part[1]
		if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			say("history.influx."+key, "want a name of up to 64 letters, digits, _ and -, such as plumbline")
		}
	}
	if i.State() == i.Database {
		say("history.influx.stateDatabase", "is the database of the points, whose retention would take the cursor: choose another, or leave it out")
	}
}

// Credentials reads what authorizes a request from where the configuration says it is; nil when it does not say.
func (i HistoryInflux) Credentials() func() (string, error) {
	if i.CredentialsFile == "" {
		return nil
	}
	return func() (string, error) {
		text, err := os.ReadFile(i.CredentialsFile)
		return string(text), err
	}
}

// State returns the name of the database that keeps the cursor.
func (i HistoryInflux) State() string {
	if i.StateDatabase == "" {
		return i.Database + "_state"
	}
	return i.StateDatabase
}
