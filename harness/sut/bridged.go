package sut

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed bridged.sut.yaml
var bridgedDescriptor []byte

// Default returns the descriptor of bridged, the bridge of this repository. New
// writes its configuration and its keys, which a descriptor file cannot ask for.
func Default() *Descriptor {
	d, err := Parse(bridgedDescriptor, "bridged.sut.yaml", "")
	if err != nil { // the file is part of the program and under test
		return &Descriptor{Name: "bridged"}
	}
	d.builtin = true
	return d
}

// FindBridged returns the path of the bridged executable: path itself when it
// is not "", else beside the running executable, else in $PATH.
func FindBridged(path string) (string, error) {
	name := "bridged"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	var tried []string
	if path != "" {
		tried = append(tried, path)
	} else if self, err := os.Executable(); err == nil {
		tried = append(tried, filepath.Join(filepath.Dir(self), name))
	}
	for _, candidate := range tried {
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(candidate)
		}
	}
	if path == "" {
		if found, err := exec.LookPath(name); err == nil {
			return filepath.Abs(found)
		}
		tried = append(tried, "$PATH")
	}
	return "", fmt.Errorf("sut: find bridged: %w: no executable at %s; run 'make build', or name it", ErrUnavailable, strings.Join(tried, " or in "))
}

// writeBridged writes the configuration of bridged and, when there is none, the
// secret that signs tokens. Both stay in the private folder.
func writeBridged(d *Descriptor, private string, port func(string) (int, error), overrides map[string]any) ([]byte, error) {
	if err := writeSecret(filepath.Join(private, "jwt.key")); err != nil {
		return nil, err
	}
	revoked := filepath.Join(private, "revoked")
	if f, err := os.OpenFile(revoked, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("sut: revocation file: %w", err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sut: revocation file: %w", err)
	}
	var failed error
	listen := func(name string) string {
		p, err := port(name)
		failed = errors.Join(failed, err)
		return fmt.Sprintf("127.0.0.1:%d", p)
	}
	config := map[string]any{
		"apiVersion": "plumbline/v1",
		"kind":       "Bridge",
		"node":       "sut",
		"data":       filepath.Join(private, "data"),
		"mqtt":       map[string]any{"listen": listen("mqtt")},
		"viewers":    map[string]any{"listen": listen("viewers"), "origins": []string{d.Viewer.Origin}},
		"ops":        map[string]any{"listen": listen("ops")},
		"auth": map[string]any{
			"jwt":            map[string]any{"secretFile": filepath.Join(private, "jwt.key")},
			"revocationFile": revoked,
		},
	}
	if failed != nil {
		return nil, failed
	}
	for key, value := range overrides {
		if err := set(config, strings.Split(key, "."), value); err != nil {
			return nil, fmt.Errorf("sut: setting %q of bridged: %w: %w", key, ErrUsage, err)
		}
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("sut: configuration of bridged: %w", err)
	}
	path := filepath.Join(private, "bridged.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return nil, fmt.Errorf("sut: configuration of bridged: %w", err)
	}
	return data, nil
}

// writeSecret makes a key of 256 bits when the file is not there.
func writeSecret(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sut: secret for tokens: %w", err)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sut: secret for tokens: %w", err)
	}
	return nil
}

// set puts value at the place that keys lead to, making the maps on the way.
// A value that is a map itself is merged.
func set(config map[string]any, keys []string, value any) error {
	for _, key := range keys[:len(keys)-1] {
		next, ok := config[key].(map[string]any)
		if !ok {
			if _, taken := config[key]; taken {
				return fmt.Errorf("%q is a value, not a group", key)
			}
			next = map[string]any{}
			config[key] = next
		}
		config = next
	}
	last := keys[len(keys)-1]
	if group, ok := value.(map[string]any); ok {
		for key, inner := range group {
			if err := set(config, []string{last, key}, inner); err != nil {
				return err
			}
		}
		return nil
	}
	if _, ok := config[last].(map[string]any); ok {
		return fmt.Errorf("%q is a group; name the setting in it", last)
	}
	config[last] = value
	return nil
}
