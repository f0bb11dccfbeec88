package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"plumbline/reports"
	"plumbline/reports/hdr"
)

// MaxSummary bounds what is read, in bytes: a summary holds figures and findings, not
// records, so anything larger is not a summary.
const MaxSummary = 256 << 20

// RefusedError says why a summary is not read and what its reader can do. Nothing
// of a summary that is refused is used.
type RefusedError struct {
	Path string // of the file; "" when it came from elsewhere
	Why  string
	Mend string

	cause error // nil, or io.ErrUnexpectedEOF for one that is cut short
}

// Unwrap returns io.ErrUnexpectedEOF for a summary that is cut short, else nil.
func (e *RefusedError) Unwrap() error { return e.cause }

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Path == "" {
		return "render: read run: " + e.Why
	}
	return fmt.Sprintf("render: read run: %s (file %s)", e.Why, e.Path)
}

// What the reader of a refused summary can do.
const (
	mendForeign = "name a run directory of plumbline, one that holds " + SummaryFile
	mendDamaged = "get the run directory again from whoever made it; plumbline verify tells whether more of it was changed"
	mendNewer   = "read it with a newer version of plumbline, at least the one that made it"
	mendOlder   = "read it with the version of plumbline that made it, or make the run again"
)

// Read parses a run written by JSON. What is cut short, too large, of another
// program or of another version of the schema, has unknown fields or trailing
// data, or an overall verdict that the results do not give, is a *RefusedError.
func Read(r io.Reader) (*reports.Run, error) {
	content, err := io.ReadAll(io.LimitReader(r, MaxSummary+1))
	if err != nil {
		return nil, fmt.Errorf("render: read run: %w", err)
	}
	if len(content) > MaxSummary {
		return nil, &RefusedError{Why: tooLarge("more than " + bytesText(MaxSummary)), Mend: mendForeign}
	}
	run, err := parse(content)
	if err != nil {
		return nil, err
	}
	if want := run.Judge(); run.Overall != want {
		return nil, &RefusedError{Why: fmt.Sprintf("overall says %s, its results say %s", run.Overall, want), Mend: mendDamaged}
	}
	return run, nil
}

// sound refuses a run that says what no run can say.
func sound(run *reports.Run) error {
	if err := errors.Join(run.Validate(), histogramsFit(run)); err != nil {
		return &RefusedError{Why: "the run contradicts itself: " + shorten(err.Error()), Mend: mendDamaged}
	}
	return nil
}

// histogramsFit reports latencies whose histogram is none or holds another number.
func histogramsFit(run *reports.Run) error {
	for _, d := range run.Latencies {
		if d.HDR == "" {
			continue
		}
		h, err := hdr.Decode(d.HDR)
		if err != nil {
			return fmt.Errorf("latencies of scenario %q: %w", d.Scenario, err)
		}
		if h.Count() != d.N {
			return fmt.Errorf("latencies of scenario %q: n = %d, the histogram holds %d", d.Scenario, d.N, h.Count())
		}
	}
	return nil
}

// parse reads a run without asking what it says.
func parse(content []byte) (*reports.Run, error) {
	if err := checkVersion(content); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	var run reports.Run
	if err := dec.Decode(&run); err != nil {
		return nil, &RefusedError{Why: "it is damaged: " + shorten(err.Error()), Mend: mendDamaged}
	}
	return &run, nil
}

// checkVersion looks at nothing but whether the text is whole and of which schema
// it is: a newer one may have fields that this program does not know.
func checkVersion(content []byte) error {
	var head struct {
		Schema string `json:"schema"`
	}
	var syntax *json.SyntaxError
	err := json.Unmarshal(content, &head)
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(bytes.TrimRight(content, " \t\r\n"))):
		return &RefusedError{Why: fmt.Sprintf("it is cut short after %d bytes", len(content)), Mend: mendDamaged, cause: io.ErrUnexpectedEOF}
	case errors.As(err, &syntax):
		return &RefusedError{Why: fmt.Sprintf("it is damaged at byte %d: %v", syntax.Offset, err), Mend: mendDamaged}
	case err != nil, head.Schema == "":
		return &RefusedError{Why: "it is JSON of something else, without the schema of a run", Mend: mendForeign}
	case head.Schema == reports.SchemaVersion:
		return nil
	}
	refused := &RefusedError{Why: fmt.Sprintf("schema is %q, this program reads %q", shorten(head.Schema), reports.SchemaVersion), Mend: mendForeign}
	family, own, _ := strings.Cut(reports.SchemaVersion, "/v")
	if version, same := strings.CutPrefix(head.Schema, family+"/v"); same {
		have, errHave := strconv.Atoi(version)
		reads, errReads := strconv.Atoi(own)
		switch {
		case errHave != nil || errReads != nil:
		case have > reads:
			refused.Why, refused.Mend = refused.Why+": it is newer", mendNewer
		default:
			refused.Why, refused.Mend = refused.Why+": it is older", mendOlder
		}
	}
	return refused
}

// shorten cuts foreign text for an error, which is for people, and makes it one
// line of visible text.
func shorten(text string) string {
	const most = 2000
	text = clean(text)
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " …"
}

func tooLarge(size string) string {
	return fmt.Sprintf("it has %s; a summary holds figures, not records, and at most %s", size, bytesText(MaxSummary))
}

// Load reads summary.json of a run directory, as Read does. It also refuses a run
// that does not pass reports.Run.Validate or whose histograms are of other
// latencies, and a link or anything else that is no plain file, which may lead
// anywhere and never end.
func Load(dir string) (*reports.Run, error) {
	path := filepath.Join(dir, SummaryFile)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("render: load run: %w (is this a run directory?)", err)
	case err != nil:
		return nil, fmt.Errorf("render: load run: %w", err)
	case !info.Mode().IsRegular():
		return nil, &RefusedError{Path: path, Why: "it is no plain file but " + info.Mode().Type().String(), Mend: mendDamaged}
	case info.Size() > MaxSummary:
		return nil, &RefusedError{Path: path, Why: tooLarge(bytesText(info.Size())), Mend: mendForeign}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("render: load run: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	run, err := Read(f)
	if err == nil {
		err = sound(run)
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		refused.Path = path
	}
	if err != nil {
		return nil, err
	}
	return run, nil
}
