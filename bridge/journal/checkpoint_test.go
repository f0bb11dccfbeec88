package journal

import (
	"path/filepath"
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
