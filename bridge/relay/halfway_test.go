package relay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// TestRefusedHalfway: what a script has written stays when a later command of it is refused. Whatever right the user lacks, the log has
// the messages that were acknowledged, and no other.
func TestRefusedHalfway(t *testing.T) {
	for right, want := range map[string]uint64{"+xadd": 0, "+xrange": 20, "+xdel": 20} {
		t.Run(right, func(t *testing.T) {
			redis := redistest.New(t)
			args := []any{"ACL", "SETUSER", "short", "reset", "on", ">geheim"}
			for rule := range strings.FieldsSeq(needed) {
				if rule != right {
					args = append(args, rule)
				}
			}
			if err := redis.Client.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "credentials")
			if err := os.WriteFile(file, []byte("short\ngeheim\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			o := options(redis, "a")
			o.CredentialsFile, o.StreamBytes = file, 1<<10
			n := newNode(t, o)
			before, stored := n.journal.Head().Offset, uint64(0)
			for range 20 {
				if _, _, err := n.Log().Append(t.Context(), journal.Message{Topic: "t", Payload: make([]byte, 200), QoS: 1}); err == nil {
					stored++
				}
			}
			if got := n.target.Load() - before; stored != want || got != want {
				t.Errorf("%d of 20 were acknowledged and %d are in the log, want %d", stored, got, want)
			}
			if all := n.Alarms(); len(all) == 0 || !strings.Contains(all[0], "ACL SETUSER") {
				t.Errorf("alarms are %q, want that a right is missing", all)
			}
		})
	}
}
