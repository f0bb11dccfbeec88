package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode"

	"plumbline/reports"
)

// ManifestSchema is the version of the form of manifest.json.
const ManifestSchema = "plumbline.manifest/v1"

// Manifest lists every file of a run directory but itself and the envelope,
// ascending by path. Paths are relative and use slashes.
type Manifest struct {
	Schema string             `json:"schema"`
	Run    string             `json:"run"`
	Files  []reports.Evidence `json:"files"`
}

// Digest returns the digests of all files below dir but those named in except
// (paths relative to dir), ascending by path. Anything that is neither folder
// nor regular file, or whose name a manifest cannot hold, is an error that names
// it. It reads every file.
func Digest(ctx context.Context, dir string, except ...string) ([]reports.Evidence, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("seal: digest: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read
	found, err := listFiles(root)
	if err != nil {
		return nil, err
	}
	skip := make(map[string]bool, len(except))
	for _, path := range except {
		skip[path] = true
	}
	files := make([]reports.Evidence, 0, len(found))
	for _, f := range found {
		if skip[f.path] {
			continue
		}
		switch {
		case f.special != "":
			return nil, &Error{File: f.path, Reason: ReasonSpecial, Detail: "it is a " + f.special}
		case !portable(f.path):
			return nil, &Error{File: f.path, Reason: ReasonName, Detail: "rename it: no backslash, no control character, UTF-8 only"}
		}
		e, err := digestFile(ctx, root, f.path)
		if err != nil {
			return nil, fmt.Errorf("seal: digest %q: %w", f.path, err)
		}
		files = append(files, e)
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path }) // a walk orders by folder, not by path
	return files, nil
}

// listed is one entry of a run directory that is not a folder.
type listed struct {
	path    string
	special string // what it is when it is no regular file
}

// listFiles walks the directory in lexical order without following links.
func listFiles(root *os.Root) ([]listed, error) {
	var out []listed
	err := fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		out = append(out, listed{path: path, special: specialKind(d.Type())})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("seal: list run directory: %w", err)
	}
	return out, nil
}

func specialKind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	default:
		return "special file"
	}
}

// digestFile hashes one regular file; os.Root keeps the path inside.
func digestFile(ctx context.Context, root *os.Root, path string) (reports.Evidence, error) {
	f, err := root.Open(filepath.FromSlash(path))
	if err != nil {
		return reports.Evidence{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	hash := sha256.New()
	n, err := io.Copy(hash, &reader{ctx: ctx, r: f})
	if err != nil {
		return reports.Evidence{}, err
	}
	return reports.Evidence{Path: path, SHA256: hex.EncodeToString(hash.Sum(nil)), Size: n}, nil
}

// reader stops a long copy when ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// portable reports whether a path of a manifest stays inside the directory and
// means the same file on every system, and to the tools of the recipe, which work
// line by line.
func portable(path string) bool {
	return fs.ValidPath(path) && filepath.IsLocal(filepath.FromSlash(path)) && !strings.ContainsRune(path, '\\') && !strings.ContainsFunc(path, unicode.IsControl)
}

func (m Manifest) encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("seal: manifest: %w", err)
	}
	return buf.Bytes(), nil
}

// decodeManifest reads a manifest and refuses unknown fields, paths that leave
// the directory and paths out of order or listed twice.
func decodeManifest(content []byte) (Manifest, error) {
	var m Manifest
	if err := checkSchema(ManifestFile, content, ManifestSchema); err != nil {
		return m, err
	}
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return m, err
	}
	previous := ""
	for _, f := range m.Files {
		if !portable(f.Path) {
			return m, &Error{File: f.Path, Reason: ReasonOutside, Detail: "the manifest names a path outside the run directory or one with control characters"}
		}
		if f.Path <= previous {
			return m, fmt.Errorf("path %q is out of order or listed twice", f.Path)
		}
		previous = f.Path
	}
	if len(m.Files) == 0 {
		return m, errors.New("lists no files")
	}
	return m, nil
}
