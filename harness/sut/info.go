package sut

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"debug/buildinfo"

	"plumbline/reports"
)

// Info describes the system for the report: what it claims, and the SHA-256 of
// each executable that it consists of and of its configuration. A file that
// cannot be read is named with an empty digest.
func (s *SUT) Info() reports.SUT {
	d := s.descriptor()
	info := reports.SUT{
		Name: d.Name, Version: d.Version, Description: d.Description,
		Artifacts: []reports.Evidence{}, Capabilities: d.All(),
	}
	if info.Version == "" && s.binary != "" {
		info.Version = version(s.binary)
	}
	for _, path := range s.files() {
		info.Artifacts = append(info.Artifacts, digest(path))
	}
	return info
}

// files lists the executables and the copies of the configuration.
func (s *SUT) files() []string {
	var out []string
	for _, p := range s.descriptor().Start {
		if path := executable(p); !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	if s.source.builtin {
		out = append(out, filepath.Join(s.dir, "bridged.yaml"))
	}
	return append(out, filepath.Join(s.dir, "descriptor.yaml"))
}

// executable returns the file that starting the process runs: a relative path
// counts from the folder that the process starts in (see exec.Cmd). A program
// that is nowhere is returned as it was named.
func executable(p Process) string {
	path := p.Command[0]
	if strings.ContainsAny(path, `/`+string(filepath.Separator)) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.Dir, path)
		}
		return path
	}
	if found, err := exec.LookPath(path); err == nil {
		return found
	}
	return path
}

// digest names a file by its base name: where it lay says nothing to a reader
// of the report and may say too much about the machine.
func digest(path string) reports.Evidence {
	e := reports.Evidence{Path: filepath.Base(path)}
	f, err := os.Open(path)
	if err != nil {
		return e
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if e.Size, err = io.Copy(h, f); err != nil {
		return e
	}
	e.SHA256 = hex.EncodeToString(h.Sum(nil))
	return e
}

// version reads what the Go linker wrote into the executable: module version
// and, when it was built from a repository, the revision.
func version(path string) string {
	build, err := buildinfo.ReadFile(path)
	if err != nil {
		return ""
	}
	setting := func(key string) string {
		i := slices.IndexFunc(build.Settings, func(s debug.BuildSetting) bool { return s.Key == key })
		if i < 0 {
			return ""
		}
		return build.Settings[i].Value
	}
	return versionText(build.Main.Version, setting("vcs.revision"))
}

// versionText names a build by its module version and, where that does not hold it already as a pseudo-version does, by its revision.
func versionText(module, revision string) string {
	if revision = fmt.Sprintf("%.12s", revision); revision == "" || strings.Contains(module, revision) {
		return module
	}
	return strings.TrimSpace(fmt.Sprintf("%s (%s)", module, revision))
}
