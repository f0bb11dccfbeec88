package bridge

import "testing"

// TestN45SnapshotByAction: the snapshot has a list of its own, in asking and in delivery.
func TestN45SnapshotByAction(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	r.publish(p, "a/1", "seen")
	r.publish(p, "a/2", "live only")
	v := r.open(map[string]any{
		"grants": map[string]any{"live": []string{"#"}, "snapshot": []string{"a/#"}},
		"denies": map[string]any{"snapshot": []string{"a/2"}},
	})
	v.send(map[string]any{"type": "sub", "id": 1, "filter": "#", "snapshot": true})
	if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "forbidden" {
		t.Errorf("snapshot beyond its list: %+v %v, want suberr forbidden", m, err)
	}
	v.sub(2, "#", nil)
	ok := v.sub(3, "a/#", map[string]any{"snapshot": true})
	if s := v.want("snapshot"); len(s.Readings) != 1 || s.Readings[0].Topic != "a/1" {
		t.Errorf("snapshot %+v, want a/1 only", s.Readings)
	}
	v.send(map[string]any{"type": "unsub", "id": 2})
	v.want("unsubok")
	r.publish(p, "a/2", "live")
	if got, _ := v.collect(1, ok.Offset); got[0].Topic != "a/2" {
		t.Errorf("live %+v, want a/2", got)
	}
}
