package layouts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The file of a layout: one line of JSON that says whose it is, then the layout itself.
const (
	suffix = ".json"
	fresh  = ".new" // what is being written; left behind by a kill
)

// header is the first line.
type header struct {
	Tenant   string `json:"tenant"`
	Subject  string `json:"subject"`
	Title    string `json:"title"`
	Shared   bool   `json:"shared"`
	Modified int64  `json:"modified_us"`
}

func (s *Store) path(key, id string) string { return filepath.Join(s.dir, key, id+suffix) }

// ready reads the folder when that has not been done. An error is tried again at the next call.
func (s *Store) ready() error {
	s.mu.RLock()
	done := s.known != nil
	s.mu.RUnlock()
	if done {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known != nil {
		return nil
	}
	accounts, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("layouts: %w", err)
	}
	s.known, s.count, s.bytes = map[string]map[string]*Entry{}, 0, 0
	for _, account := range accounts {
		if !account.IsDir() {
			continue // none of ours
		}
		if err := s.load(account.Name()); err != nil {
			s.known = nil
			return fmt.Errorf("layouts: %w", err)
		}
	}
	return nil
}

// load reads what an account has. A file that cannot be read as a layout is left where it is, and logged. The caller holds mu.
func (s *Store) load(key string) error {
	files, err := os.ReadDir(filepath.Join(s.dir, key))
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(s.dir, key, f.Name())
		if strings.HasSuffix(f.Name(), fresh) {
			_ = os.Remove(path) // a kill came between; the one before is there whole
			continue
		}
		id, ok := strings.CutSuffix(f.Name(), suffix)
		if !ok || !ValidID(id) {
			continue // none of ours
		}
		head, text, err := read(path)
		owner := Account{head.Tenant, head.Subject}
		if err == nil && owner.key() != key {
			err = errors.New("it stands in the folder of another account")
		}
		if err != nil {
			s.log.Error("a saved layout cannot be read and is left out", "path", path, "error", err)
			continue
		}
		s.keep(key, &Entry{
			ID: id, Owner: owner, Title: head.Title, Shared: head.Shared, Bytes: len(text), Modified: time.UnixMicro(head.Modified).UTC(), Tag: tag(head.Shared, text),
		})
	}
	return nil
}

// read reads a file.
func read(path string) (h header, text []byte, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return h, nil, err
	}
	line, text, ok := bytes.Cut(raw, []byte{'\n'})
	if !ok {
		return h, nil, errors.New("it has no first line")
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, nil, fmt.Errorf("its first line: %w", err)
	}
	return h, text, nil
}

// write puts a layout on disk in the place of the one before, durably. With replaced it is there although it may not be durable.
func (s *Store) write(key string, e *Entry, text []byte) (replaced bool, err error) {
	dir := filepath.Join(s.dir, key)
	if _, err := os.Stat(dir); err != nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return false, err
		}
		if err := errors.Join(syncDir(s.dir), syncDir(filepath.Dir(s.dir))); err != nil {
			return false, err
		}
	}
	line, err := json.Marshal(header{e.Owner.Tenant, e.Owner.Subject, e.Title, e.Shared, e.Modified.UnixMicro()})
	if err != nil {
		return false, err
	}
	path := s.path(key, e.ID)
	if err := durably(path+fresh, append(append(line, '\n'), text...)); err != nil {
		_ = os.Remove(path + fresh)
		return false, err
	}
	if err := os.Rename(path+fresh, path); err != nil {
		_ = os.Remove(path + fresh)
		return false, err
	}
	return true, syncDir(dir)
}

func durably(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the names in a folder safe. Windows has no such call: NTFS journals names by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
