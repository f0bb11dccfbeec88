package config

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// DSN reads the connection string of PostgreSQL from where the configuration says it is. No error holds any of it.
func (p HistoryPostgres) DSN() (string, error) {
	if p.DSNFile != "" {
		text, err := os.ReadFile(p.DSNFile)
		return strings.TrimSpace(string(text)), err
	}
	text, ok := os.LookupEnv(p.DSNEnv)
	if !ok {
		return "", fmt.Errorf("the environment variable %s is not set", p.DSNEnv)
	}
	return strings.TrimSpace(text), nil
}

func (p HistoryPostgres) validate(say sayFunc) {
	switch {
	case p.DSNFile == "" && p.DSNEnv == "":
		say("history.postgres.dsnFile", "is missing: name the file that holds the DSN, postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, or in dsnEnv the environment variable")
	case p.DSNFile != "" && p.DSNEnv != "":
		say("history.postgres.dsnEnv", "and dsnFile are both given: keep one")
	case strings.Contains(p.DSNFile, "://") || strings.ContainsAny(p.DSNEnv, ":/= "):
		say("history.postgres", "holds a DSN, and with it perhaps a password: put it into a file and name that in dsnFile")
	}
	if p.Schema == "" || len(p.Schema) > 63 || strings.ContainsFunc(p.Schema, func(r rune) bool { return r < ' ' || r == '"' }) || strings.HasPrefix(p.Schema, "pg_") {
		say("history.postgres.schema", "want a name of up to 63 bytes that does not begin with pg_, such as plumbline")
	}
}

// loopbackHost reports whether a host name or address is this machine.
func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
