package journal

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
)

// between is a disk that calls then while a checkpoint is being begun: after the
// offset it stands for was chosen, before the tables are written.
type between struct {
	disk
	then func()
}

func (b *between) Create(path string) (file, error) {
	if then := b.then; then != nil && filepath.Base(path) == checkpointName+".tmp" {
		b.then = nil
		then()
	}
	return b.disk.Create(path)
}

// A topic that is published to without the retain flag while a checkpoint is
// written keeps the retained message it had before.
func TestRetainedMessageSurvivesAPublishDuringTheCheckpoint(t *testing.T) {
	r := newRig(t, SyncOS)
	during := &between{}
	r.opts.fs = during
	j := r.open()
	add(t, j, Message{Topic: "a", Payload: []byte("retained"), Retain: true})
	add(t, j, Message{Topic: "b", Payload: []byte("other")})
	during.then = func() { add(t, j, Message{Topic: "a", Payload: []byte("passing")}) }
	if err := j.saveCheckpoint(false); err != nil {
		t.Fatal(err)
	}
	r.kill(j)
	j = r.open()
	got := j.Retained()
	if len(got) != 1 || string(got[0].Payload) != "retained" || got[0].Offset != 1 {
		t.Fatalf("retained messages %+v, want the one of offset 1", got)
	}
	_, last := j.Snapshot(func(name string) bool { return name == "a" })
	if len(last) != 1 || string(last[0].Payload) != "passing" {
		t.Fatalf("last value %+v", last)
	}
}

// turning is a disk on which a segment ends just as the keeper fsyncs it.
type turning struct {
	disk
	turn func()
}

type turningFile struct {
	file
	on *turning
}

func (d *turning) Create(path string) (file, error) {
	f, err := d.disk.Create(path)
	if err != nil || filepath.Ext(path) != segmentSuffix {
		return f, err
	}
	return &turningFile{f, d}, nil
}

func (f *turningFile) Sync() error {
	if turn := f.on.turn; turn != nil {
		f.on.turn = nil
		turn()
	}
	return f.file.Sync()
}

// A segment that ends while a checkpoint fsyncs it is fsynced by name, as every one that ended: no failure, and none is said.
func TestCheckpointOutlivesTheEndOfASegment(t *testing.T) {
	r := newRig(t, SyncOS)
	on, said := &turning{}, new(bytes.Buffer)
	r.opts.fs, r.opts.SegmentBytes, r.opts.Log = on, 4096, slog.New(slog.NewTextHandler(said, nil))
	j := r.open()
	turned := false
	j.io.Lock()
	on.turn = func() {
		j.io.Lock()
		defer j.io.Unlock()
		if err := j.begin(); err != nil {
			t.Error(err)
		}
		turned = true
	}
	j.io.Unlock()
	appendN(t, j, 1, 100)
	eventually(t, "a checkpoint", func() bool { return !j.checkpointDue() })
	closeJournal(t, j)
	if !turned || strings.Contains(said.String(), "journal checkpoint failed") {
		t.Errorf("turned %v; said %s", turned, said)
	}
}
