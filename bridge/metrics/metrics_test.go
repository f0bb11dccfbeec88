package metrics

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

// everySeries gives each metric with labels in v one series, so that it is gathered, and returns how many there are.
func everySeries(t *testing.T, v reflect.Value) (vectors int) {
	t.Helper()
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Pointer:
			if with := f.MethodByName("GetMetricWithLabelValues"); with.IsValid() {
				for labels := []reflect.Value{}; ; labels = append(labels, reflect.ValueOf("x")) {
					if out := with.Call(labels); out[1].IsNil() {
						break
					}
					if len(labels) > 8 {
						t.Fatalf("%s: more than 8 labels", v.Type().Field(i).Name)
					}
				}
				vectors++
			} else if f.Elem().Kind() == reflect.Struct && f.Type() == reflect.TypeFor[*External]() {
				vectors += everySeries(t, f.Elem())
			}
		case reflect.Struct:
			vectors += everySeries(t, f)
		}
	}
	return vectors
}

// TestMetricsAreAsPrometheusWantsThem: names, units, types and help of every metric pass what promtool check metrics asks, and the
// labels are none that grow with topics, clients or subjects.
func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	s := New()
	s.WatchSink("sqlite", func() (uint64, time.Duration) { return 0, 0 })
	s.WatchBroker("bridge_external_window", "Messages.", "site", func() float64 { return 0 })
	if n := everySeries(t, reflect.ValueOf(s).Elem()); n < 25 {
		t.Fatalf("%d metrics with labels were found", n)
	}
	families, err := s.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "bridge_drain_state"} {
		if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name }) {
			t.Errorf("%s is not there", name)
		}
	}
	known := []string{"qos", "retain", "dup", "reason", "result", "key", "state", "code", "kind", "verdict", "action", "sink", "route", "status", "broker", "by", "version", "quantile"}
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			if !slices.Contains(known, l.GetName()) {
				t.Errorf("%s: the label %q is new: is the number of its values bounded?", f.GetName(), l.GetName())
			}
		}
	}
}
