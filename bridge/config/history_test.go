package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHistoryRules(t *testing.T) {
	want := []HistoryRule{
		{Filter: "plant/+/state", Time: "/ts", TimeUnit: "s", Fields: []HistoryField{{Pointer: "/t", Name: "temperature", Unit: "°C", Scale: 0.1}, {Pointer: "/mode"}}},
		{Filter: "debug/#", Skip: true},
	}
	const list = `[{filter: plant/+/state, time: /ts, timeUnit: s, fields: [{pointer: /t, name: temperature, unit: "°C", scale: 0.1}, {pointer: /mode}]}, {filter: "debug/#", skip: true}]`
	block := `history:
  retain: {points: 0, rollup1s: 0, rollup1m: 0, rollup1h: 0}
  rules:
    - filter: plant/+/state
      time: /ts
      timeUnit: s
      fields:
        - {pointer: /t, name: temperature, unit: "°C", scale: 0.1}
        - pointer: /mode
    - filter: "debug/#"
      skip: true
`
	for name, load := range map[string]func() (Config, error){
		"block":   func() (Config, error) { return Load(file(t, block), nil, nil) },
		"flow":    func() (Config, error) { return Load(file(t, "history: {rules: "+list+"}\n"), nil, nil) },
		"env":     func() (Config, error) { return Load("", []string{"PLUMBLINE_BRIDGE_HISTORY_RULES=" + list}, nil) },
		"setting": func() (Config, error) { return Load("", nil, []string{"history.rules=" + list}) },
	} {
		c, err := load()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(c.History.Rules, want) {
			t.Errorf("%s: %+v, want %+v", name, c.History.Rules, want)
		}
		if _, err := c.History.Checked(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHistoryErrorsSayWhereAndHow(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"history: {store: mysql}\n", []string{"history.store", "sqlite"}},
		{"history:\n  rules:\n    - filter: a\n      feilds: []\n", []string{"bridge.yaml:4", "history.rules item 1", `did you mean "fields"`}},
		{"history:\n  rules:\n    - filter: a\n      fields:\n        - {point: /a}\n", []string{"bridge.yaml:5", "fields item 1", `did you mean "pointer"`}},
		{"history: {rules: {filter: a}}\n", []string{"history.rules", "want a list"}},
		{"history: {rules: [a]}\n", []string{"history.rules item 1", "keys with values"}},
		{"history: {rules: [{filter: a, filter: b}]}\n", []string{"bridge.yaml:1", "filter is given twice"}},
		{"history: {rules: [{filter: a, fields: [{pointer: /x, scale: much}]}]}\n", []string{"scale", "want a number"}},
		{"history: {rules: [{filter: a, skip: yes}]}\n", []string{"skip", "true or false"}},
		{"history: {rules: [{filter: a+}]}\n", []string{"history.rules", "rule 1", "+"}},
		{"history: {rules: [{filter: a, time: ts}]}\n", []string{"rule 1: time", "JSON pointer"}},
		{"history: {retain: {rollup1m: 1h}}\n", []string{"history.retain.rollup1m", "shorter than history.retain.rollup1s"}},
		{"history: {retain: {points: 0}}\n", []string{"history.retain.rollup1s", "shorter than history.retain.points"}},
		{"history: {store: postgres}\n", []string{"history.postgres.dsnFile", "sslmode=verify-full"}},
		{"history: {store: postgres, postgres: {dsnFile: a, dsnEnv: B}}\n", []string{"history.postgres.dsnEnv", "keep one"}},
		{"history: {store: postgres, postgres: {dsnFile: \"postgres://u:p@h/d\"}}\n", []string{"history.postgres", "put it into a file"}},
		{"history: {store: postgres, postgres: {dsnFile: a, schema: pg_x}}\n", []string{"history.postgres.schema", "pg_"}},
		{"history: {store: influx}\n", []string{"history.influx.url", "https://HOST:8086"}},
		{"history: {store: influx, influx: {url: \"http://db.example:8086\"}}\n", []string{"history.influx.url", "use https://"}},
		{"history: {store: influx, influx: {url: \"https://u:p@db.example\"}}\n", []string{"history.influx.url", "credentialsFile"}},
		{"history: {store: influx, influx: {url: \"https://db.example\", version: 2}}\n", []string{"history.influx.org", "history.influx.credentialsFile"}},
		{"history: {store: influx, influx: {url: \"https://db.example\", version: 4}}\n", []string{"history.influx.version"}},
		{"history: {store: influx, influx: {url: \"https://db.example\", database: \"a b\"}}\n", []string{"history.influx.database"}},
		{"history: {store: influx, influx: {url: \"https://db.example\", stateDatabase: plumbline}}\n", []string{"history.influx.stateDatabase", "retention"}},
		{"history: {flush: 1ms}\n", []string{"history.flush", "allowed is 10ms"}},
		{"viewers: {path: /api/v1/live}\n", []string{"viewers.path", "another"}},
	} {
		_, err := Load(file(t, tc.text), nil, nil)
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v, want ErrConfig", tc.text, err)
			continue
		}
		for _, part := range tc.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %q lacks %q", tc.text, err, part)
			}
		}
	}
	if c, err := Load("", nil, nil); err != nil || c.History.Store != "sqlite" || c.History.Retain.Durations().Points != 7*24*time.Hour {
		t.Errorf("default: %+v, %v", c.History, err)
	}
}
