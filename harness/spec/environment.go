package spec

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"

	"plumbline/harness"
	"plumbline/reports"
)

// Environment describes this machine for the report. Neither host name nor
// user is in it. What cannot be found out is left out.
func Environment(ctx context.Context) map[string]string {
	env := map[string]string{
		"os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version(),
		"cores": strconv.Itoa(runtime.NumCPU()),
	}
	if info, err := host.InfoWithContext(ctx); err == nil {
		env["platform"] = info.Platform + " " + info.PlatformVersion
		env["kernel"] = info.KernelVersion
		if info.VirtualizationRole == "guest" {
			env["virtualization"] = info.VirtualizationSystem
		}
	}
	if infos, err := cpu.InfoWithContext(ctx); err == nil && len(infos) > 0 {
		env["cpu"] = infos[0].ModelName
	}
	if memory, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		env["memory_mib"] = strconv.FormatUint(memory.Total>>20, 10)
	}
	if avg, err := load.AvgWithContext(ctx); err == nil {
		env["load_1min_at_end"] = strconv.FormatFloat(avg.Load1, 'f', 2, 64)
	}
	return env
}

// Evidence lists the records and logs of a run directory with their digests,
// by path. Reports, which are made from the run, are not evidence of it.
func Evidence(dir string) ([]reports.Evidence, error) { return evidence(os.DirFS(dir)) }

func evidence(files fs.FS) ([]reports.Evidence, error) {
	var all []reports.Evidence
	for _, folder := range []string{configFolder, factsFolder, harness.RecordsFolder, harness.LogsFolder} {
		if _, err := fs.Stat(files, folder); errors.Is(err, fs.ErrNotExist) {
			continue // nothing of that kind was kept
		}
		err := fs.WalkDir(files, folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			e, err := digest(files, path)
			if err == nil {
				all = append(all, e)
			}
			return err
		})
		if err != nil {
			return all, fmt.Errorf("evidence below %q: %w", folder, err)
		}
	}
	return all, nil
}

func digest(files fs.FS, path string) (reports.Evidence, error) {
	f, err := files.Open(path)
	if err != nil {
		return reports.Evidence{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return reports.Evidence{}, err
	}
	return reports.Evidence{Path: path, SHA256: hex.EncodeToString(sum.Sum(nil)), Size: size}, nil
}
