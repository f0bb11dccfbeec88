package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// ErrConfig is wrapped by every error that the user mends in the configuration.
var ErrConfig = errors.New("configuration")

// Load reads the file at path ("" = none, the defaults), then the variables of environ (as os.Environ gives them), then the
// settings, each "key=value" with the key's path joined by dots. Relative file names in the file are taken from the file's own
// folder. The result is validated. Every error wraps ErrConfig and says where the setting stands: file and line, variable or flag.
// All that cannot be read of the file is said at once, and so are all variables and settings, and all values that cannot work: each
// of the three when there is nothing of the one before.
func Load(path string, environ, settings []string) (Config, error) {
	c, given := Default(), places{}
	if path != "" {
		given[""] = path
		raw, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if bad := parse(&c, path, raw, given); len(bad) > 0 {
			return c, faults(bad)
		}
		anchor(&c, filepath.Dir(path))
	}
	if bad := append(fromEnv(&c, environ, given), fromSettings(&c, settings, given)...); len(bad) > 0 {
		return c, faults(bad)
	}
	return c, given.join(c.problems())
}

// faults makes one error of all.
func faults(bad []error) error {
	for i, err := range bad {
		bad[i] = fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return errors.Join(bad...)
}

func fromSettings(c *Config, settings []string, given places) (bad []error) {
	for _, s := range settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			bad = append(bad, fmt.Errorf("--set %q: want key=value, such as viewers.heartbeat=5s", s))
			continue
		}
		if err := assign(c, key, value); err != nil {
			bad = append(bad, fmt.Errorf("--set %s: %w", key, err))
		}
		given[key] = "--set " + key
	}
	return bad
}

// assign sets one value by path.
func assign(c *Config, path, value string) error {
	if name, _, ok := strings.Cut(strings.TrimPrefix(path, "external."), "."); ok && strings.HasPrefix(path, "external.") {
		c.declare(name)
	}
	leaves, _ := fields(c)
	names := make([]string, 0, len(leaves))
	for _, f := range leaves {
		if f.path == path {
			return f.set(value)
		}
		names = append(names, f.path)
	}
	return unknown("key", path, names)
}

func unknown(what, name string, known []string) error {
	if near := nearest(name, known); near != "" {
		return fmt.Errorf("unknown %s %q: did you mean %q?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q: known are %s", what, name, strings.Join(known, ", "))
}

func fromEnv(c *Config, environ []string, given places) (bad []error) {
	leaves, _ := fields(c)
	byName := map[string]field{}
	names := make([]string, 0, len(leaves))
	for _, f := range leaves {
		byName[envName(f.path)] = f
		names = append(names, envName(f.path))
	}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		f, ok := byName[name]
		if !ok {
			bad = append(bad, unknown("environment variable", name, names))
			continue
		}
		if err := f.set(value); err != nil {
			bad = append(bad, fmt.Errorf("environment variable %s: %w", name, err))
		}
		given[f.path] = "environment variable " + name
	}
	return bad
}

// anchor makes relative file names relative to dir.
func anchor(c *Config, dir string) {
	paths := []*string{
		&c.Data, &c.MQTT.UsersFile, &c.MQTT.TLS.Cert, &c.MQTT.TLS.Key, &c.MQTT.TLS.ClientCA, &c.MQTT.TLS.RevokedFile, &c.Viewers.TLS.Cert, &c.Viewers.TLS.Key,
		&c.Auth.JWT.SecretFile, &c.Auth.JWT.PublicKeyFile, &c.Auth.JWT.KeySetFile, &c.Auth.JWT.KeySetCA, &c.Auth.RevocationFile, &c.Ops.TLS.Cert, &c.Ops.TLS.Key,
		&c.History.SQLite.File, &c.History.Postgres.DSNFile, &c.History.Influx.CredentialsFile, &c.History.Influx.CA,
		&c.Relay.CredentialsFile, &c.Relay.SentinelCredentialsFile, &c.Relay.SecretFile, &c.Relay.TLS.CA, &c.Relay.TLS.Cert, &c.Relay.TLS.Key,
	}
	for i := range c.External {
		e := &c.External[i]
		paths = append(paths, &e.CredentialsFile, &e.TLS.CA, &e.TLS.Cert, &e.TLS.Key)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) && !strings.Contains(*p, "://") { // a DSN where its file's name belongs is refused later
			*p = filepath.Join(dir, *p)
		}
	}
}

// declare makes room for the external broker of that name, with defaults, unless it is there.
func (c *Config) declare(name string) {
	if !slices.ContainsFunc(c.External, func(e External) bool { return e.Name == name }) {
		c.External = append(c.External, DefaultExternal(name))
	}
}

// declareAll makes room for the external brokers that the document names, so that their settings have a place.
func (c *Config) declareAll(top ast.Node) {
	for _, group := range entries(top) {
		if keyOf(group) != "external" {
			continue
		}
		for _, broker := range entries(group.Value) {
			c.declare(keyOf(broker))
		}
	}
}

// entries returns what a mapping holds; nothing when n is none.
func entries(n ast.Node) []*ast.MappingValueNode {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	}
	return nil
}

// keyOf returns the key of an entry, which may stand in quotes.
func keyOf(e *ast.MappingValueNode) string {
	if text, ok := e.Key.(*ast.StringNode); ok {
		return text.Value
	}
	return e.Key.String()
}

// reader carries what the walk through one file needs.
type reader struct {
	file   string
	leaves map[string]field
	groups map[string]bool
	seen   map[string]bool
	given  places
}

// parse reads a file into c and says all that is wrong with it; what does not read as YAML says only that.
func parse(c *Config, file string, raw []byte, given places) (bad []error) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))                        // some editors begin UTF-8 with a mark
	doc, err := parser.ParseBytes(raw, 0, parser.AllowDuplicateMapKey()) // the walk refuses them, and says how to mend it
	if err != nil {
		return []error{syntaxError(file, err)}
	}
	if len(doc.Docs) > 1 {
		return []error{fmt.Errorf("%s: more than one YAML document: keep the first", line(file, doc.Docs[1].Start))}
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		return nil
	}
	c.declareAll(doc.Docs[0].Body)
	leaves, groups := fields(c)
	r := reader{file: file, leaves: map[string]field{}, groups: groups, seen: map[string]bool{}, given: given}
	for _, f := range leaves {
		r.leaves[f.path] = f
	}
	return r.mapping("", doc.Docs[0].Body)
}

// syntaxError says in one line what the parser draws over several.
func syntaxError(file string, err error) error {
	var yerr yaml.Error
	if !errors.As(err, &yerr) {
		return fmt.Errorf("%s: %s", file, strings.TrimSpace(err.Error()))
	}
	return fmt.Errorf("%s: not YAML: %s: keys and their values stand as key: value, groups are indented by spaces", line(file, yerr.GetToken()), yerr.GetMessage())
}

// line names the line of t.
func line(file string, t *token.Token) string {
	if t == nil || t.Position == nil {
		return file
	}
	return fmt.Sprintf("%s:%d", file, t.Position.Line)
}

func (r reader) at(n ast.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %w", line(r.file, n.GetToken()), fmt.Errorf(format, args...))
}

// mapping reads the entries of the group at prefix.
func (r reader) mapping(prefix string, n ast.Node) (bad []error) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.NullNode, *ast.CommentGroupNode:
	default:
		return []error{r.at(n, "%s: want keys with values, not a %s", orTop(prefix), strings.ToLower(n.Type().String()))}
	}
	for _, v := range entries(n) {
		key := keyOf(v)
		path := key
		if prefix != "" {
			path = prefix + "." + key
		}
		if r.seen[path] {
			bad = append(bad, r.at(v.Key, "%s is given twice: keep one", path))
			continue
		}
		r.seen[path] = true
		r.given[path] = line(r.file, v.Key.GetToken())
		bad = append(bad, r.entry(prefix, key, path, v)...)
	}
	return bad
}

func (r reader) entry(prefix, key, path string, v *ast.MappingValueNode) []error {
	if r.groups[path] {
		return r.mapping(path, v.Value)
	}
	f, ok := r.leaves[path]
	if !ok {
		return []error{r.at(v.Key, "%s: %w", orTop(prefix), unknown("key", key, r.siblings(prefix)))}
	}
	if _, empty := v.Value.(*ast.NullNode); f.isRecords() && !empty {
		return r.records(path, f.val, v.Value)
	}
	if err := r.value(f, v.Value); err != nil {
		return []error{err}
	}
	return nil
}

// value sets f to what n says; an empty value keeps the default.
func (r reader) value(f field, n ast.Node) error {
	text, err := r.text(f, n)
	if err != nil || text == nil {
		return err
	}
	if err := f.set(*text); err != nil {
		return r.at(n, "%s: %w", f.path, err)
	}
	return nil
}

// text returns the scalar of n, or a list's items joined by commas.
func (r reader) text(f field, n ast.Node) (*string, error) {
	if seq, ok := n.(*ast.SequenceNode); ok {
		if !f.isList() {
			return nil, r.at(n, "%s: want one value, not a list", f.path)
		}
		items := make([]string, 0, len(seq.Values))
		for _, item := range seq.Values {
			s, err := r.scalar(f, item)
			if err != nil {
				return nil, err
			}
			if strings.Contains(s, ",") || strings.TrimSpace(s) == "" {
				return nil, r.at(item, "%s: %q: an item may not be empty or hold a comma", f.path, s)
			}
			items = append(items, s)
		}
		joined := strings.Join(items, ",")
		return &joined, nil
	}
	if _, ok := n.(*ast.NullNode); ok {
		return nil, nil
	}
	if f.isList() {
		return nil, r.at(n, "%s: want a list, such as [\"https://example.org\"]", f.path)
	}
	s, err := r.scalar(f, n)
	return &s, err
}

func (r reader) scalar(f field, n ast.Node) (string, error) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, nil
	case *ast.LiteralNode:
		return s.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	default:
		return "", r.at(n, "%s: want a plain value, not a %s", f.path, strings.ToLower(n.Type().String()))
	}
}

// siblings lists the keys that may stand in the group.
func (r reader) siblings(prefix string) []string {
	seen := map[string]bool{}
	add := func(path string) {
		rest := path
		if prefix != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(path, prefix+"."); !ok {
				return
			}
		}
		name, _, _ := strings.Cut(rest, ".")
		if name != "" {
			seen[name] = true
		}
	}
	for p := range r.leaves {
		add(p)
	}
	for p := range r.groups {
		add(p)
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func orTop(prefix string) string {
	if prefix == "" {
		return "top level"
	}
	return prefix
}
