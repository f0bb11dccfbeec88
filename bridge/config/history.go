package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"plumbline/bridge/history"
)

// APIPath is where the history API and those of the page live on the viewers' listener.
const APIPath = "/api/v1/"

// History configures what is kept for longer than the journal.
type History struct {
	Store     string          `yaml:"store"`     // sqlite, postgres, influx, or off
	Flush     Duration        `yaml:"flush"`     // how long messages gather before they are stored
	MaxSeries int             `yaml:"maxSeries"` // beyond it values of new series are not stored, and counted
	Retain    HistoryRetain   `yaml:"retain"`
	SQLite    HistorySQLite   `yaml:"sqlite"`
	Postgres  HistoryPostgres `yaml:"postgres"`
	Influx    HistoryInflux   `yaml:"influx"`
	API       HistoryAPI      `yaml:"api"`
	Rules     []HistoryRule   `yaml:"rules"` // the first whose filter matches holds
}

// HistoryRetain says how long each resolution is kept; 0 is for ever.
type HistoryRetain struct {
	Points   Duration `yaml:"points"`
	Rollup1s Duration `yaml:"rollup1s"`
	Rollup1m Duration `yaml:"rollup1m"`
	Rollup1h Duration `yaml:"rollup1h"`
	Events   Duration `yaml:"events"`
}

// HistorySQLite configures the embedded store.
type HistorySQLite struct {
	File     string `yaml:"file"`     // "" = history.db in data
	MaxBytes Bytes  `yaml:"maxBytes"` // beyond it the oldest goes before its time, first of the points
}

// HistoryPostgres configures the store in PostgreSQL. The DSN holds a password, so it is given by reference.
type HistoryPostgres struct {
	DSNFile   string `yaml:"dsnFile"`   // file that holds the DSN; read anew at each connection
	DSNEnv    string `yaml:"dsnEnv"`    // name of the environment variable that holds it
	Schema    string `yaml:"schema"`    // made when missing; each bridge needs its own
	Timescale bool   `yaml:"timescale"` // use TimescaleDB where the server has it
}

// HistoryAPI bounds what one request may ask, and how many are answered at a time.
type HistoryAPI struct {
	MaxPoints     int      `yaml:"maxPoints"` // of one answer
	MaxConcurrent int      `yaml:"maxConcurrent"`
	Timeout       Duration `yaml:"timeout"`
}

// HistoryRule says what the payloads of some topics hold; see history.Rule.
type HistoryRule struct {
	Filter   string         `yaml:"filter"`
	Fields   []HistoryField `yaml:"fields"`
	Time     string         `yaml:"time"`
	TimeUnit string         `yaml:"timeUnit"`
	Skip     bool           `yaml:"skip"`
}

// HistoryField names one member of a payload; see history.FieldAt.
type HistoryField struct {
	Pointer string  `yaml:"pointer"`
	Name    string  `yaml:"name"`
	Unit    string  `yaml:"unit"`
	Scale   float64 `yaml:"scale"`
}

// day is what retention is counted in.
const day = 24 * time.Hour

func defaultHistory() History {
	return History{
		Store: "sqlite", Flush: Duration(history.DefaultFlush), MaxSeries: history.DefaultMaxSeries,
		Retain: HistoryRetain{
			Points: Duration(7 * day), Rollup1s: Duration(7 * day), Rollup1m: Duration(90 * day), Rollup1h: Duration(5 * 365 * day), Events: Duration(30 * day),
		},
		SQLite:   HistorySQLite{MaxBytes: 8 << 30},
		Postgres: HistoryPostgres{Schema: "plumbline", Timescale: true},
		Influx:   HistoryInflux{Version: 1, Database: "plumbline"},
		API:      HistoryAPI{MaxPoints: 10_000, MaxConcurrent: 4, Timeout: Duration(5 * time.Second)},
	}
}

// Durations returns the retention as the stores want it.
func (r HistoryRetain) Durations() history.Retention {
	return history.Retention{Points: r.Points.D(), Rollup1s: r.Rollup1s.D(), Rollup1m: r.Rollup1m.D(), Rollup1h: r.Rollup1h.D(), Events: r.Events.D()}
}

// Checked returns the rules as the sink wants them. The error says which rule is wrong, why, and how to mend it.
func (h History) Checked() (history.Rules, error) {
	var rules []history.Rule
	for _, r := range h.Rules {
		out := history.Rule{Filter: r.Filter, Time: r.Time, TimeUnit: history.TimeUnit(r.TimeUnit), Skip: r.Skip}
		for _, f := range r.Fields {
			out.Fields = append(out.Fields, history.FieldAt(f))
		}
		rules = append(rules, out)
	}
	return history.NewRules(rules)
}

func (c Config) validateHistory(say sayFunc) {
	h := c.History
	oneOf(say, "history.store", h.Store)
	switch h.Store {
	case "postgres":
		h.Postgres.validate(say)
	case "influx":
		h.Influx.validate(say)
	}
	within(say, "history.flush", h.Flush, 10*time.Millisecond, time.Minute)
	inRange(say, "history.maxSeries", int64(h.MaxSeries), 1, 10_000_000)
	inRange(say, "history.sqlite.maxBytes", int64(h.SQLite.MaxBytes), 1<<20, 1<<50)
	inRange(say, "history.api.maxPoints", int64(h.API.MaxPoints), 100, 1_000_000)
	inRange(say, "history.api.maxConcurrent", int64(h.API.MaxConcurrent), 1, 1000)
	within(say, "history.api.timeout", h.API.Timeout, 100*time.Millisecond, 8*time.Second) // the listener gives an answer 10 s
	kept := []struct {
		key  string
		keep Duration
	}{{"points", h.Retain.Points}, {"rollup1s", h.Retain.Rollup1s}, {"rollup1m", h.Retain.Rollup1m}, {"rollup1h", h.Retain.Rollup1h}}
	finer := kept[0]
	for _, k := range kept {
		within(say, "history.retain."+k.key, k.keep, 0, 100*365*day)
		if k.keep != 0 && (finer.keep == 0 || finer.keep > k.keep) {
			say("history.retain."+k.key, "%s is shorter than history.retain.%s: keep the coarser at least as long (0 is for ever)", k.keep.D(), finer.key)
		}
		finer = k
	}
	within(say, "history.retain.events", h.Retain.Events, 0, 100*365*day)
	if _, err := h.Checked(); err != nil {
		say("history.rules", "%v", err)
	}
}

// setRecords reads text, a YAML list such as [{filter: plant/#, time: /ts}], into the list of records v.
func setRecords(v reflect.Value, text string) error {
	doc, err := parser.ParseBytes([]byte(text), 0)
	if err != nil || len(doc.Docs) != 1 || doc.Docs[0].Body == nil {
		return fmt.Errorf("want a YAML list, such as [{filter: \"plant/#\", time: /ts}]")
	}
	return errors.Join(reader{file: "value"}.records("list", v, doc.Docs[0].Body)...)
}

// records reads a list of mappings into v, a slice of structs. Unknown and repeated keys are refused.
func (r reader) records(where string, v reflect.Value, n ast.Node) (bad []error) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return []error{r.at(n, "%s: want a list, each item with keys and values", where)}
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		bad = append(bad, r.record(where+" item "+strconv.Itoa(i+1), out.Index(i), item)...)
	}
	v.Set(out)
	return bad
}

func (r reader) record(where string, v reflect.Value, n ast.Node) (bad []error) {
	items := entries(n)
	if len(items) == 0 {
		return []error{r.at(n, "%s: want keys with values", where)}
	}
	members := map[string]field{}
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		members[name] = field{where + ": " + name, v.Field(i)}
		names = append(names, name)
	}
	seen := map[string]bool{}
	for _, kv := range items {
		key := keyOf(kv)
		f, ok := members[key]
		switch {
		case !ok:
			bad = append(bad, r.at(kv.Key, "%s: %w", where, unknown("key", key, names)))
		case seen[key]:
			bad = append(bad, r.at(kv.Key, "%s: %s is given twice: keep one", where, key))
		case f.isRecords():
			bad = append(bad, r.records(f.path, f.val, kv.Value)...)
		default:
			if err := r.value(f, kv.Value); err != nil {
				bad = append(bad, err)
			}
		}
		seen[key] = true
	}
	return bad
}

// isRecords reports whether f is a list of mappings.
func (f field) isRecords() bool {
	return f.val.Kind() == reflect.Slice && f.val.Type().Elem().Kind() == reflect.Struct
}
