package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// answer is what a route found, not yet in a format.
type answer struct {
	cursor journal.Cursor
	next   string         // token of the next page, "" at the end
	gaps   []history.Gap  // that touch the asked time; the first of more than maxGaps is not shown
	kept   time.Time      // what is older has expired; zero when nothing has
	head   map[string]any // members beside the rows
	rows   string         // name of the rows' member
	cols   []string       // of CSV, and the members of each row in JSON
	cells  [][]any        // nil is an absent member and an empty cell
}

// Headers of answers.
const (
	cursorHeader = "Plumbline-Cursor" // epoch:offset
	nextHeader   = "Plumbline-Next"   // token of the next page
	gapsHeader   = "Plumbline-Gaps"   // how many gaps touch the asked time, with + behind when more than are shown
)

// exposed is what pages of other sites may read of an answer, if they may read it at all.
const exposed = "ETag, Retry-After, " + cursorHeader + ", " + nextHeader + ", " + gapsHeader

// write answers in the asked format, or says that the asker has it. The entity tag covers the data and neither cursor nor page
// token nor since when data is kept: with the same data an older cursor is as good, since nothing of the asked came after it.
func (q *request) write(w http.ResponseWriter, a *answer) int {
	h := w.Header()
	var data []byte
	if q.p.chosen["format"][0] == "csv" {
		data = a.csv()
		h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
		h.Set("Content-Disposition", `attachment; filename="history.csv"`)
	} else {
		data = a.json()
		h.Set("Content-Type", "application/json")
	}
	more := byte('.')
	if a.next != "" {
		more = '+'
		h.Set(nextHeader, a.next)
	}
	sum := sha256.Sum256(append(data, more))
	tag := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache") // may be kept, must be asked for again
	h.Add("Vary", "Authorization")
	h.Add("Vary", "Cookie")
	h.Set(cursorHeader, a.cursor.Epoch+":"+strconv.FormatUint(a.cursor.Offset, 10))
	h.Set(gapsHeader, strconv.Itoa(min(len(a.gaps), maxGaps))+strings.Repeat("+", max(0, len(a.gaps)-maxGaps)))
	h.Set("Access-Control-Expose-Headers", exposed)
	if matches(q.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Type")
		h.Del("Content-Disposition")
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified
	}
	if q.p.chosen["format"][0] == "json" {
		data = a.splice(data)
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusOK)
	if q.Method != http.MethodHead {
		_, _ = w.Write(data) // the peer is gone when this fails
	}
	return http.StatusOK
}

// matches compares entity tags weakly (RFC 9110 section 13.1.2).
func matches(lists []string, tag string) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || "W/"+strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// cursorJSON is a cursor as PROTOCOL.md spells it.
type cursorJSON struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// splice adds cursor, next and kept_from to the object that json made.
func (a *answer) splice(data []byte) []byte {
	kept := int64(0)
	if !a.kept.IsZero() {
		kept = a.kept.UnixMicro()
	}
	front, _ := json.Marshal(struct { // plain data: it cannot fail
		Cursor cursorJSON `json:"cursor"`
		Next   string     `json:"next,omitempty"`
		Kept   int64      `json:"kept_from,omitempty"`
	}{cursorJSON(a.cursor), a.next, kept})
	front[len(front)-1] = ','
	return append(front, data[1:]...)
}

// json makes the object without cursor, next and kept_from. Of text, what has a meaning in HTML is escaped.
func (a *answer) json() []byte {
	var b bytes.Buffer
	head := map[string]any{}
	for k, v := range a.head {
		head[k] = v
	}
	if a.gaps != nil {
		head["gaps"] = gapsJSON(a.gaps[max(0, len(a.gaps)-maxGaps):])
	}
	if len(a.gaps) > maxGaps {
		head["gaps_more"] = true
	}
	text, _ := json.Marshal(head) // plain data: it cannot fail
	b.Write(text[:len(text)-1])
	if len(head) > 0 {
		b.WriteByte(',')
	}
	b.WriteString(strconv.Quote(a.rows) + ":[")
	for i, row := range a.cells {
		if i > 0 {
			b.WriteByte(',')
		}
		sep := byte('{')
		for j, cell := range row {
			if cell == nil {
				continue
			}
			b.WriteByte(sep)
			sep = ','
			b.WriteString(strconv.Quote(a.cols[j]) + ":")
			b.Write(cellJSON(cell))
		}
		b.WriteByte('}')
	}
	b.WriteString("]}")
	return b.Bytes()
}

func cellJSON(cell any) []byte {
	switch x := cell.(type) {
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return []byte("null")
		}
	case time.Time:
		return strconv.AppendInt(nil, x.UnixMicro(), 10)
	}
	text, _ := json.Marshal(cell) // plain data: it cannot fail
	return text
}

// gapJSON is a gap in an answer.
type gapJSON struct {
	Epoch  string `json:"epoch"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Count  uint64 `json:"count"`
	Reason string `json:"reason"`
	Begin  int64  `json:"begin"`
	End    int64  `json:"end"`
}

func gapsJSON(gaps []history.Gap) []gapJSON {
	out := make([]gapJSON, 0, len(gaps))
	for _, g := range gaps {
		j := gapJSON{Epoch: g.Epoch, From: g.From, To: g.To, Count: g.Count, Reason: g.Reason, End: g.End.UnixMicro()}
		if !g.Begin.IsZero() {
			j.Begin = g.Begin.UnixMicro()
		}
		out = append(out, j)
	}
	return out
}

// csv makes RFC 4180 text with a header line. Times are RFC 3339 in UTC. Package encoding/csv would change line ends in texts.
func (a *answer) csv() []byte {
	var b bytes.Buffer
	line := func(n int, cell func(i int) string) {
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quoted(cell(i)))
		}
		b.WriteString("\r\n")
	}
	line(len(a.cols), func(i int) string { return a.cols[i] })
	for _, row := range a.cells {
		line(len(row), func(i int) string { return cellCSV(row[i]) })
	}
	return b.Bytes()
}

// quoted quotes a cell that needs it (RFC 4180 section 2).
func quoted(s string) string {
	if !strings.ContainsAny(s, "\",\r\n") && strings.TrimSpace(s) == s {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func cellCSV(cell any) string {
	switch x := cell.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case time.Time:
		return x.UTC().Format("2006-01-02T15:04:05.000000Z")
	case string:
		return inert(x)
	}
	return strings.Trim(string(cellJSON(cell)), `"`)
}

// inert keeps a spreadsheet from taking text for a formula (OWASP, CSV injection): what would begin one gets a ' in front.
func inert(s string) string {
	if first, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}

// showable reports whether a payload may be given as text: valid UTF-8 without control characters save tab and line ends, so that
// no terminal obeys it.
func showable(p []byte) bool {
	if !utf8.Valid(p) {
		return false
	}
	for _, r := range string(p) {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r <= 0x9f {
			return false
		}
	}
	return true
}
