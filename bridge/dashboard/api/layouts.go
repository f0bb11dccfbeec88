package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"plumbline/bridge/auth"
	"plumbline/bridge/dashboard/layouts"
	"plumbline/bridge/strictjson"
)

// What a layout must be beside text of a bounded size: the page knows the rest.
const (
	layoutVersion = "plumbline/v1"
	layoutKind    = "Dashboard"
	maxTitle      = 120 // characters
	maxDepth      = 16
)

// listed is a layout in the list of them.
type listed struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Owner    string `json:"owner"`
	Mine     bool   `json:"mine"`
	Shared   bool   `json:"shared"`
	Bytes    int    `json:"bytes"`
	Modified int64  `json:"modified_us"`
	ETag     string `json:"etag"`
}

func entry(e layouts.Entry, who layouts.Account) listed {
	return listed{e.ID, e.Title, e.Owner.Subject, e.Owner == who, e.Shared, e.Bytes, e.Modified.UnixMicro(), strconv.Quote(e.Tag)}
}

func account(id auth.Identity) layouts.Account {
	return layouts.Account{Tenant: id.Tenant, Subject: id.Subject}
}

func bad(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, "", fmt.Sprintf(format, args...)}
}

// only returns the one value of the one parameter that a request may have, "" for none.
func only(r *http.Request, name string) (string, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", bad("the query is malformed: escape what has a meaning in URLs")
	}
	for key, values := range given {
		switch {
		case name == "":
			return "", bad("this takes no parameters, and %.64q is given", key)
		case key != name:
			return "", bad("the parameter %.64q is not known here: known is %s", key, name)
		case len(values) > 1:
			return "", bad("%s is given twice: give it once", name)
		}
	}
	return given.Get(name), nil
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request, id auth.Identity) error {
	if _, err := only(r, ""); err != nil {
		return err
	}
	who := account(id)
	all, err := h.layouts.List(who)
	if err != nil {
		return err
	}
	out := make([]listed, 0, len(all))
	for _, e := range all {
		out = append(out, entry(e, who))
	}
	return writeJSON(w, http.StatusOK, map[string]any{"layouts": out, "max_own": layouts.MaxOwn, "max_bytes": layouts.MaxBytes})
}

// named returns the id in the path.
func named(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !layouts.ValidID(id) {
		return "", bad("%.70q is no id: want 1 to 64 lower case letters, digits and dashes, without a dash at an end", id)
	}
	return id, nil
}

func (h *Handler) get(w http.ResponseWriter, r *http.Request, id auth.Identity) error {
	name, err := named(r)
	if err != nil {
		return err
	}
	who := account(id)
	owner := who
	switch subject, err := only(r, "owner"); {
	case err != nil:
		return err
	case subject != "":
		owner.Subject = subject
	}
	text, e, err := h.layouts.Get(who, owner, name)
	if err != nil {
		return err
	}
	head := w.Header()
	head.Set("ETag", strconv.Quote(e.Tag))
	head.Set("Plumbline-Shared", strconv.FormatBool(e.Shared))
	head.Set("Cache-Control", "private, no-cache") // may be kept, must be asked for again
	head.Add("Vary", "Authorization")
	head.Add("Vary", "Cookie")
	if matches(r.Header.Values("If-None-Match"), e.Tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	head.Set("Content-Type", "application/json")
	head.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) //nolint:gosec // JSON that nothing takes for a page: see secure. The peer is gone when this fails
	return nil
}

func (h *Handler) put(w http.ResponseWriter, r *http.Request, id auth.Identity) error {
	name, err := named(r)
	if err != nil {
		return err
	}
	shared, err := only(r, "shared")
	if err != nil {
		return err
	}
	if shared != "" && shared != "true" && shared != "false" {
		return bad("shared is %.16q: want true or false", shared)
	}
	if !h.writes.Take(id.Account(), h.o.Now()) {
		return &refusal{http.StatusTooManyRequests, "rate", "too many changes of layouts: wait a second"}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, layouts.MaxBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &refusal{http.StatusRequestEntityTooLarge, "size", fmt.Sprintf("the layout is larger than %d bytes", layouts.MaxBytes)}
	case err != nil: // with the connection, or its time to read
		return bad("the body broke off, or took too long: send it again")
	}
	title, err := readTitle(text)
	if err != nil {
		return err
	}
	who := account(id)
	e, created, err := h.layouts.Put(who, name, title, shared == "true", text, func(now *layouts.Entry) error { return holds(r, now) })
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(e.Tag))
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", layoutsPath+"/"+name)
	}
	return writeJSON(w, status, entry(e, who))
}

// readTitle looks at what a layout says of itself.
func readTitle(text []byte) (string, error) {
	var version, kind, title string
	if err := strictjson.Decode(text, maxDepth, map[string]any{"apiVersion": &version, "kind": &kind, "title": &title}); err != nil {
		return "", bad("the body is no layout: want one JSON object, at most %d levels deep: %v", maxDepth, err)
	}
	if version != layoutVersion || kind != layoutKind {
		return "", bad("apiVersion is %.32q and kind %.32q: want %s and %s", version, kind, layoutVersion, layoutKind)
	}
	if n := utf8.RuneCountInString(title); strings.TrimSpace(title) == "" || n > maxTitle || strings.ContainsFunc(title, unicode.IsControl) {
		return "", bad("title has %d characters: want 1 to %d, not all blank and without control characters", n, maxTitle)
	}
	return title, nil
}

// holds checks the condition of a change, which every change of what is there must have: who changes it says by If-Match which version
// was seen, so that no change by somebody else is lost (RFC 6585 section 3).
func holds(r *http.Request, now *layouts.Entry) error {
	match, none := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	changed := &refusal{http.StatusPreconditionFailed, "", "the layout is another than the one that you saw: load it again, then save"}
	switch {
	case now == nil && len(match) > 0:
		return changed // RFC 9110 section 13.1.1: * too
	case now == nil:
		return nil
	case len(none) > 0 && matches(none, now.Tag):
		return changed
	case len(match) > 0 && !strictly(match, now.Tag):
		return changed
	case len(match) == 0:
		return &refusal{http.StatusPreconditionRequired, "", "the layout is there already: name the version that you saw by If-Match, with its entity tag, or * for any"}
	}
	return nil
}

func (h *Handler) remove(w http.ResponseWriter, r *http.Request, id auth.Identity) error {
	name, err := named(r)
	if err != nil {
		return err
	}
	if _, err := only(r, ""); err != nil {
		return err
	}
	if !h.writes.Take(id.Account(), h.o.Now()) {
		return &refusal{http.StatusTooManyRequests, "rate", "too many changes of layouts: wait a second"}
	}
	if err := h.layouts.Delete(account(id), name, func(now *layouts.Entry) error { return holds(r, now) }); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// matches compares entity tags weakly (RFC 9110 section 13.1.2).
func matches(lists []string, tag string) bool { return anyTag(lists, tag, true) }

// strictly compares entity tags strongly (RFC 9110 section 13.1.1).
func strictly(lists []string, tag string) bool { return anyTag(lists, tag, false) }

func anyTag(lists []string, tag string, weak bool) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimSpace(one)
			if weak {
				one = strings.TrimPrefix(one, "W/")
			}
			if one == "*" || one == strconv.Quote(tag) {
				return true
			}
		}
	}
	return false
}
