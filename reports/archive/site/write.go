package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrForeign says that a folder is not one that a site may be written over.
var ErrForeign = errors.New("the folder is no site of plumbline")

// Marker is the file that makes a folder a site: it lists what was written there.
const Marker = "plumbline-site.json"

// markerFormat names the form of the marker.
const markerFormat = "plumbline.site/v1"

// marker is the form of Marker.
type marker struct {
	Format string            `json:"format"`
	Files  map[string]string `json:"files"` // path → SHA-256
}

// Write puts the site into the folder dir, which need not exist. The folder holds
// the old site or the new one at any time, whatever fails. A folder that holds
// anything that an earlier Write did not put there, or that was changed since, is
// refused with ErrForeign and left alone, and so is one within the store or around it.
func (s *Site) Write(dir string) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if err := apart(dir, s.store.Root); err != nil {
		return err
	}
	old, err := own(dir)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // G301: a site is for others to read
		return fmt.Errorf("site: %w", err)
	}
	fresh, err := os.MkdirTemp(parent, ".plumbline-site-")
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }() // the half of a site, or the old one
	if err := s.fill(fresh); err != nil {
		return err
	}
	return swap(fresh, dir, old)
}

// fill writes all files into a folder of their own, and last of all the marker.
func (s *Site) fill(dir string) error {
	m := marker{Format: markerFormat, Files: map[string]string{}}
	for _, f := range s.Files {
		var content bytes.Buffer
		if err := f.Write(&content); err != nil {
			return err
		}
		sum := sha256.Sum256(content.Bytes())
		m.Files[f.Path] = hex.EncodeToString(sum[:])
		if err := put(filepath.Join(dir, filepath.FromSlash(f.Path)), content.Bytes()); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	return errors.Join(put(filepath.Join(dir, Marker), append(text, '\n')), os.Chmod(dir, 0o755)) //nolint:gosec // G302: a site is for others to read
}

func put(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // G301: a site is for others to read
		return fmt.Errorf("site: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // G306: likewise
		return fmt.Errorf("site: %w", err)
	}
	return nil
}

// own reports whether there is something at dir, and refuses what is not a site with
// nothing else in it.
func own(dir string) (exists bool, err error) {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("site: %w", err)
	}
	if !info.IsDir() {
		return false, fmt.Errorf("site: %w: %q is no folder", ErrForeign, dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("site: %w", err)
	}
	if len(entries) == 0 {
		return true, nil
	}
	var m marker
	text, err := os.ReadFile(filepath.Join(dir, Marker))
	if err != nil || json.Unmarshal(text, &m) != nil || m.Format != markerFormat {
		return false, fmt.Errorf("site: %w: %q is not empty and has no %s", ErrForeign, dir, Marker)
	}
	foreign, err := stranger(dir, m.Files)
	if err != nil {
		return false, fmt.Errorf("site: %w", err)
	}
	if foreign != "" {
		return false, fmt.Errorf("site: %w: %q holds %q, which is none of the %d files of the site or was changed since; move it away, or remove the folder", ErrForeign, dir, foreign, len(m.Files))
	}
	return true, nil
}

// stranger names a file of the folder that is not as the site left it: files are its
// digests.
func stranger(dir string, files map[string]string) (foreign string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		name := filepath.ToSlash(rel)
		if err != nil || name == Marker {
			return err
		}
		sum := ""
		if d.Type().IsRegular() && files[name] != "" {
			if sum, err = digest(path); err != nil {
				return err
			}
		}
		if sum == "" || sum != files[name] {
			foreign = name
			return fs.SkipAll
		}
		return nil
	})
	return foreign, err
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// apart refuses a site within the store, which is only read, and one around it, which
// would be replaced with the store in it.
func apart(dir, store string) error {
	at, err := filepath.Abs(store)
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	dir, at = resolve(dir), resolve(at)
	within := func(inner, outer string) bool {
		rel, err := filepath.Rel(outer, inner)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
	}
	if within(dir, at) || within(at, dir) {
		return fmt.Errorf("site: %w: %q lies within the store %q or around it", ErrForeign, dir, store)
	}
	return nil
}

// resolve follows the links of a path as far as it exists.
func resolve(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolve(parent), filepath.Base(path))
}

// swap puts fresh in the place of dir; what was there lies at fresh afterwards.
func swap(fresh, dir string, exists bool) error {
	if !exists {
		if err := os.Rename(fresh, dir); err != nil {
			return fmt.Errorf("site: %w", err)
		}
		return nil
	}
	if done, err := exchange(fresh, dir); done || err != nil {
		return err
	}
	aside := fresh + ".old"
	if err := os.Rename(dir, aside); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("site: %w", errors.Join(err, os.Rename(aside, dir)))
	}
	if err := os.Rename(aside, fresh); err != nil { // to where it is removed
		return fmt.Errorf("site: %w", err)
	}
	return nil
}
