package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"plumbline/bridge/certificate"
)

// ErrInsecure is returned by [Open] for a URL that would let others on the way read or change what is stored.
var ErrInsecure = errors.New("the server is not on this machine, so the URL must be https://")

// requestTimeout is for callers whose context has no end.
const requestTimeout = 30 * time.Second

// errorBytes is how much of the server's answer an error holds.
const errorBytes = 512

// errExpired says that the server left out points that are older than its retention.
var errExpired = errors.New("some points are older than the database's retention")

// client speaks HTTP with the server.
type client struct {
	base    *url.URL
	opts    Options
	http    *http.Client
	zip     *gzip.Writer
	request bytes.Buffer // of one write at a time
}

func newClient(o Options) (*client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("the URL is malformed: want https://HOST:PORT without user and password") // it may hold a password
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("host %q: %w", u.Hostname(), ErrInsecure)
	}
	if o.Version < 1 || o.Version > 3 || o.Database == "" {
		return nil, fmt.Errorf("version %d, database %q: want version 1, 2 or 3 and a database", o.Version, o.Database)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		if trust.RootCAs, err = certificate.Authorities(o.CA); err != nil {
			return nil, err
		}
	}
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	return &client{base: u, opts: o, zip: zip, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: trust, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // what authorizes us is for this server only
	}}, nil
}

// Check reads the files that the options name, and asks nobody. The error holds nothing of them.
func Check(o Options) error {
	_, err := newClient(o)
	if o.Credentials != nil {
		if _, cerr := o.Credentials(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("credentials: %w", cerr))
		}
	}
	return err
}

// authorize adds what the server wants to see.
func (c *client) authorize(r *http.Request) error {
	if c.opts.Credentials == nil {
		return nil
	}
	text, err := c.opts.Credentials()
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	text = strings.TrimSpace(text)
	switch c.opts.Version {
	case 1:
		user, password, _ := strings.Cut(text, "\n")
		r.SetBasicAuth(strings.TrimSpace(user), strings.TrimSpace(password))
	case 2:
		r.Header.Set("Authorization", "Token "+text)
	default:
		r.Header.Set("Authorization", "Bearer "+text)
	}
	return nil
}

// do sends a request and returns the answer if it is good; the caller closes it.
func (c *client) do(ctx context.Context, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header = header
	if err := c.authorize(r); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, errorBytes)) // what came is good enough
	_ = resp.Body.Close()
	if strings.Contains(string(said), "beyond retention policy") {
		return nil, errExpired
	}
	return nil, fmt.Errorf("%s answered %s: %q", path, resp.Status, said)
}

// precision is the unit of a request's timestamps.
type precision int

const (
	micro precision = iota
	nano
)

// writeLines stores lines. That some are older than the server keeps is no error: they have expired.
func (c *client) writeLines(ctx context.Context, database string, p precision, lines []byte) error {
	ctx, cancel := limit(ctx)
	defer cancel()
	c.request.Reset()
	c.zip.Reset(&c.request)
	if _, err := c.zip.Write(lines); err != nil {
		return err
	}
	if err := c.zip.Close(); err != nil {
		return err
	}
	path, query := c.endpoint(database, p)
	header := http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"text/plain; charset=utf-8"}}
	resp, err := c.do(ctx, path, query, header, bytes.NewReader(c.request.Bytes()))
	if errors.Is(err, errExpired) {
		return nil
	}
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, errorBytes)) // so that the connection is used again
	return resp.Body.Close()
}

// endpoint returns where this version takes lines.
func (c *client) endpoint(database string, p precision) (path string, query url.Values) {
	switch c.opts.Version {
	case 1:
		return "write", url.Values{"db": {database}, "precision": {[]string{"u", "ns"}[p]}}
	case 2:
		return "api/v2/write", url.Values{"org": {c.opts.Org}, "bucket": {database}, "precision": {[]string{"us", "ns"}[p]}}
	default:
		return "api/v3/write_lp", url.Values{"db": {database}, "precision": {[]string{"microsecond", "nanosecond"}[p]}}
	}
}

func limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ends := ctx.Deadline(); ends {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, requestTimeout)
}

// series is a part of the answer to a statement.
type series struct {
	Tags    map[string]string `json:"tags"`
	Columns []string          `json:"columns"`
	Values  [][]any           `json:"values"`
}

// answer is one chunk of the answer to a query.
type answer struct {
	Error   string `json:"error"`
	Results []struct {
		Statement int      `json:"statement_id"`
		Series    []series `json:"series"`
		Error     string   `json:"error"`
	} `json:"results"`
}

// query asks InfluxQL and returns the series of each statement. The text is in the body, where no log of URLs finds it. Answers
// come in chunks, since a server may cut others after some rows.
func (c *client) query(ctx context.Context, database string, statements ...string) ([][]series, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	form := url.Values{"q": {strings.Join(statements, ";")}}
	params := url.Values{"epoch": {"ns"}, "chunked": {"true"}}
	if database != "" {
		params.Set("db", database)
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	resp, err := c.do(ctx, "query", params, header, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	out := make([][]series, len(statements))
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	for {
		var a answer
		if err := d.Decode(&a); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("answer to a query: %w", err)
		}
		if a.Error != "" {
			return nil, fmt.Errorf("query: %q", a.Error)
		}
		for _, r := range a.Results {
			if r.Error != "" {
				return nil, fmt.Errorf("query: %q", r.Error)
			}
			if r.Statement < 0 || r.Statement >= len(out) {
				return nil, fmt.Errorf("query: an answer to statement %d of %d", r.Statement, len(out))
			}
			out[r.Statement] = append(out[r.Statement], r.Series...)
		}
	}
}

// integer reads a whole number of an answer; 0 when it is not there.
func integer(v any) int64 {
	n, _ := v.(json.Number)
	i, err := n.Int64()
	if err != nil {
		f, _ := n.Float64()
		return int64(f)
	}
	return i
}

// float reads a number of an answer; 0 when it is not there.
func float(v any) float64 {
	n, _ := v.(json.Number)
	f, _ := n.Float64()
	return f
}

// text reads a text of an answer; "" when it is not there.
func text(v any) string {
	t, _ := v.(string)
	return t
}
