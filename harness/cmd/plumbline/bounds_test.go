package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"plumbline/reports"
)

// verbs are all verbs of the program, those below others too, by their words.
func verbs(cmd *cobra.Command, do func(words []string, cmd *cobra.Command)) {
	for _, c := range cmd.Commands() {
		do(strings.Fields(c.CommandPath())[1:], c)
		verbs(c, do)
	}
}

// Every flag that takes a number says what it takes: one just outside, one far outside, one
// that is no number and none at all are refused by name, value and range, whether they come
// from the command line or the environment; both bounds are taken.
func TestNumbersHaveBounds(t *testing.T) {
	quiet := func() streams {
		return streams{in: &bytes.Buffer{}, out: &bytes.Buffer{}, err: &bytes.Buffer{}, getenv: func(string) string { return "" }}
	}
	seen := 0
	verbs(newRoot(quiet()), func(words []string, cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			switch f.Value.Type() {
			case "int", "int64", "uint64", "float64", "duration":
			case "string", "bool", "stringSlice", "stringArray":
				return
			default:
				t.Errorf("%v --%s is of type %s: does it hold a number?", words, f.Name, f.Value.Type())
				return
			}
			seen++
			least, most, is := boundsOf(f.Value)
			if !is {
				t.Errorf("%v --%s has no bounds: define it by limit", words, f.Name)
				return
			}
			for _, value := range []string{least, most} {
				if err := f.Value.Set(value); err != nil {
					t.Errorf("%v --%s %s: %v", words, f.Name, value, err)
				}
			}
			for _, value := range []string{"-1", "-1ns", "-Inf", "NaN", "many", "", "0x10"} {
				refused(t, quiet(), words, f.Name, value, least)
			}
			if least != "0" {
				refused(t, quiet(), words, f.Name, "0", least)
				refused(t, quiet(), words, f.Name, "0s", least)
			}
			if most != "+Inf" {
				refused(t, quiet(), words, f.Name, "1e300", least)
				refused(t, quiet(), words, f.Name, "18446744073709551616", least)
				refused(t, quiet(), words, f.Name, "100000h", least)
			}
		})
	})
	if seen < 40 {
		t.Errorf("%d flags take numbers; there were more once", seen)
	}
}

// boundsOf are the bounds of a flag that limit defined.
func boundsOf(v pflag.Value) (least, most string, is bool) {
	b := reflect.ValueOf(v).Elem()
	if !strings.HasPrefix(b.Type().Name(), "bounded[") {
		return "", "", false
	}
	text := func(field string) string {
		switch v := b.FieldByName(field); v.Kind() {
		case reflect.Float64:
			return show(v.Float())
		case reflect.Uint64:
			return show(v.Uint())
		default:
			if v.Type().Name() == "Duration" {
				return show(time.Duration(v.Int()))
			}
			return show(v.Int())
		}
	}
	return text("least"), text("most"), true
}

// refused gives a verb a value that it must not take.
func refused(t *testing.T, s streams, words []string, flag, value, least string) {
	t.Helper()
	code := execute(t.Context(), s, append(append([]string{}, words...), "--"+flag+"="+value))
	said := s.err.(*bytes.Buffer).String()
	if code != reports.ExitUsage || !strings.Contains(said, "\"--"+flag+"\"") || !strings.Contains(said, `"`+value+`"`) || !strings.Contains(said, " from "+least+" ") {
		t.Errorf("%v --%s=%s: exit %d, %s", words, flag, value, code, said)
	}
}

// A number in the environment has the bounds of its flag.
func TestNumberOutOfBoundsInTheEnvironment(t *testing.T) {
	var errs bytes.Buffer
	env := func(name string) string { return map[string]string{"PLUMBLINE_PROCESSES": "0"}[name] }
	code := execute(t.Context(), streams{in: &errs, out: &errs, err: &errs, getenv: env}, []string{"run", "--profile", "smoke"})
	if said := errs.String(); code != reports.ExitUsage || !strings.Contains(said, `PLUMBLINE_PROCESSES="0"`) || !strings.Contains(said, "a whole number from 1 to 64") {
		t.Errorf("exit %d, %s", code, said)
	}
}
