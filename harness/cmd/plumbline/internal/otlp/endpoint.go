package otlp

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Endpoint is where metrics go to.
type Endpoint struct {
	URL    string      // of the metrics themselves, "…/v1/metrics"
	Header http.Header // of every request; may hold secrets, never printed
}

// Variables of the environment that other programs with OpenTelemetry read, too
// (OpenTelemetry protocol exporter specification).
const (
	variableAll     = "OTEL_EXPORTER_OTLP_ENDPOINT"         // "/v1/metrics" is added
	variableMetrics = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" // taken as it is
	variableHeaders = "OTEL_EXPORTER_OTLP_HEADERS"
	metricHeaders   = "OTEL_EXPORTER_OTLP_METRICS_HEADERS"
	variableOff     = "OTEL_SDK_DISABLED"
)

const metricsPath = "/v1/metrics"

// Find returns the endpoint that the user named, nil for none. flag is what --otlp
// says and may name any host. The environment, which is often set for everything
// on a machine, sends figures to this machine only: an endpoint beyond it is an
// error that says how to mean it.
func Find(flag string, getenv func(string) string) (*Endpoint, error) {
	header, err := headers(getenv)
	if err != nil {
		return nil, err
	}
	if flag != "" {
		return parse("--otlp", flag, true, header)
	}
	switch all, metrics := getenv(variableAll), getenv(variableMetrics); {
	case strings.EqualFold(getenv(variableOff), "true"):
		return nil, nil //nolint:nilnil // no endpoint is what the user wants
	case metrics != "":
		return local(variableMetrics, metrics, false, header)
	case all != "":
		return local(variableAll, all, true, header)
	}
	return nil, nil //nolint:nilnil // likewise
}

// local is parse for what must be on this machine.
func local(name, text string, addPath bool, header http.Header) (*Endpoint, error) {
	e, err := parse(name, text, addPath, header)
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(e.URL); err != nil || !loopback(u.Hostname()) {
		return nil, fmt.Errorf("%s is not on this machine, so nothing is sent there; to mean it give --otlp with the address", name)
	}
	return e, nil
}

// parse reads an address. It is not repeated in errors: it may hold a password.
func parse(name, text string, addPath bool, header http.Header) (*Endpoint, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s is no address of a collector, such as http://127.0.0.1:4318", name)
	case u.User != nil:
		return nil, fmt.Errorf("%s holds a user name; give credentials in %s", name, variableHeaders)
	case u.Scheme == "http" && len(header) > 0 && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s is not encrypted, and %s may hold a secret; use https or unset it", name, variableHeaders)
	}
	if addPath {
		u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), metricsPath) + metricsPath
	}
	return &Endpoint{URL: u.String(), Header: header}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// headers reads "name=value,name=value" with both parts percent-encoded, as in W3C
// Baggage. A secret may stand there, so errors repeat nothing of it.
func headers(getenv func(string) string) (http.Header, error) {
	out := http.Header{}
	for _, variable := range []string{variableHeaders, metricHeaders} { // the latter wins
		for i, pair := range strings.Split(getenv(variable), ",") {
			if strings.TrimSpace(pair) == "" {
				continue
			}
			name, value, found := strings.Cut(pair, "=")
			name, nameErr := url.PathUnescape(strings.TrimSpace(name))
			value, valueErr := url.PathUnescape(strings.TrimSpace(value))
			if !found || name == "" || nameErr != nil || valueErr != nil || strings.ContainsAny(name+value, "\r\n\x00") {
				return nil, fmt.Errorf("entry %d of %s is not of the form name=value", i+1, variable)
			}
			out.Set(name, value)
		}
	}
	return out, nil
}
