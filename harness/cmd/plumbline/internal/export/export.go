// Package export writes a stored run as tables for spreadsheets and data tools:
// what its summary says and every record of its recordings.
//
// It judges nothing and changes nothing in the run directory. A table is there
// whole or not at all.
package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"plumbline/reports/render"
	"plumbline/reports/tables"
)

// Format is a form of tables; it is also the end of their files' names.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	Parquet Format = "parquet"
)

// ErrInside says that what was to be written would have become part of the run
// directory, which breaks its seal.
var ErrInside = errors.New("it would be part of the run directory")

// Outcome is what was written.
type Outcome struct {
	Files   []string // paths, in the order in which they were written
	Rows    int64    // of all tables
	Partial []string // benches whose recording ends early, as that of a killed run does
}

// Tables writes the tables of the run in dir into the folder to, which is made if
// need be; files of the same names are replaced. Recordings are read one after the
// other: it takes as much memory as the largest.
//
// A summary that is not read is a *render.RefusedError, a damaged recording a
// *record.CorruptError.
func Tables(dir, to string, format Format) (*Outcome, error) {
	run, err := render.Load(dir)
	if err != nil {
		return nil, err
	}
	if err := prepare(dir, to); err != nil {
		return nil, err
	}
	e := &exporter{to: to, format: format}
	for _, write := range []func() error{
		func() error { return put(e, "requirements", tables.Requirements(run)) },
		func() error { return put(e, "results", tables.Results(run)) },
		func() error { return put(e, "measurements", tables.Measurements(run)) },
		func() error { return put(e, "findings", tables.Findings(run)) },
		func() error { return put(e, "latencies", tables.Latencies(run)) },
		func() error { return put(e, "latency_buckets", tables.Buckets(run)) },
		func() error { return put(e, "timelines", tables.Points(run)) },
		func() error { return put(e, "faults", tables.Faults(run)) },
		func() error { return put(e, "hops", tables.Hops(run)) },
		func() error { return put(e, "integrity", tables.IntegrityOf(run)) },
		func() error { return put(e, "devices", tables.Devices(run)) },
		func() error { return put(e, "rasters", tables.Cells(run)) },
		func() error { return put(e, "returns", tables.Returns(run)) },
		func() error { return put(e, "resources", tables.Usages(run)) },
		func() error { return put(e, "resource_faults", tables.UsageFaults(run)) },
		func() error { return put(e, "approaches", tables.Approaches(run)) },
		func() error { return put(e, "claims", tables.Claims(run)) },
		func() error { return e.recordings(dir, run.ID) },
	} {
		if err := write(); err != nil {
			return nil, err
		}
	}
	return &e.Outcome, nil
}

// prepare makes the folder and refuses one within the run directory.
func prepare(dir, to string) error {
	if err := Outside(dir, to); err != nil {
		return err
	}
	return os.MkdirAll(to, 0o755) //nolint:gosec // G301: tables are for others to read
}

// Outside returns ErrInside when the file or folder to is the run directory dir or
// lies in it, also by way of links; to need not be there yet. Any other error says
// that a path could not be followed.
func Outside(dir, to string) error {
	from, err := resolved(dir)
	if err != nil {
		return err
	}
	target, err := resolved(to)
	if err != nil {
		return err
	}
	if target == from || strings.HasPrefix(target, from+string(filepath.Separator)) {
		return fmt.Errorf("export: %s: %w", to, ErrInside)
	}
	return nil
}

// resolved is a path without links, also of what is yet to be made.
func resolved(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	found, err := filepath.EvalSymlinks(absolute)
	if parent := filepath.Dir(absolute); errors.Is(err, fs.ErrNotExist) && parent != absolute {
		above, err := resolved(parent)
		return filepath.Join(above, filepath.Base(absolute)), err
	}
	return found, err
}

type exporter struct {
	to     string
	format Format
	Outcome
}

// table takes the rows of one table.
type table[Row any] interface {
	Write(row Row) error
	Close() error // the rows are all there afterwards; the file stays open
}

// open begins a table in an open file.
func open[Row any](format Format, f *os.File) (table[Row], error) {
	switch format {
	case CSV:
		return tables.NewCSV[Row](f)
	case Parquet:
		return newParquet[Row](f), nil
	}
	return nil, fmt.Errorf("export: %q is no format; there are %s and %s", format, CSV, Parquet)
}

// put writes a table of rows that are all there.
func put[Row any](e *exporter, name string, rows []Row) error {
	return fill(e, name, func(t table[Row]) error {
		for _, row := range rows {
			if err := t.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// counted counts the rows of a table.
type counted[Row any] struct {
	table[Row]
	rows *int64
}

// Write appends a row.
func (c counted[Row]) Write(row Row) error {
	*c.rows++
	return c.table.Write(row)
}

// fill writes a table beside its place and then puts it there.
func fill[Row any](e *exporter, name string, rows func(table[Row]) error) (err error) {
	path := filepath.Join(e.to, name+"."+string(e.format))
	f, err := os.CreateTemp(e.to, ".export-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("export: table %s: %w", name, err), f.Close(), os.Remove(f.Name()))
		}
	}()
	t, err := open[Row](e.format, f)
	if err != nil {
		return err
	}
	if err := rows(counted[Row]{t, &e.Rows}); err != nil {
		return err
	}
	if err := errors.Join(t.Close(), f.Chmod(0o644)); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	e.Files = append(e.Files, path)
	return nil
}
