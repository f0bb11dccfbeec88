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

// TestN46BacklogByAction: what a cursor asks for is live delivery, and passes the same list.
func TestN46BacklogByAction(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	r.publish(p, "a/secret", "hidden")
	r.publish(p, "a/1", "seen")
	r.publish(p, "b/1", "never granted")
	since := map[string]any{"since": map[string]any{"epoch": r.b.journal.Epoch(), "offset": 0}}
	v := r.open(map[string]any{"grants": map[string]any{"live": []string{"a/#"}, "history": []string{"#"}}, "denies": map[string]any{"live": []string{"a/secret"}}})
	v.send(map[string]any{"type": "sub", "id": 1, "filter": "b/#", "since": since["since"]})
	if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "forbidden" {
		t.Errorf("a grant of history opened the backlog: %+v %v", m, err)
	}
	ok := v.sub(2, "a/#", since)
	if !ok.Recovered {
		t.Fatalf("%+v, want recovered", ok)
	}
	if got, at := v.collect(1, 0); got[0].Topic != "a/1" || at != 3 {
		t.Errorf("backlog %+v up to %d, want a/1 up to 3", got, at)
	}
}

// TestN48GrantRemovedMidSession: from authok on, what the new token does not cover is not delivered, and what was waiting is not.
func TestN48GrantRemovedMidSession(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	v := r.open(map[string]any{"grants": []string{"a/#", "b"}})
	a := v.sub(1, "a/#", nil)
	v.sub(2, "b", nil)
	v.send(map[string]any{"type": "auth", "token": r.token(map[string]any{"grants": []string{"a/#"}, "denies": []string{"a/secret"}})})
	v.want("authok")
	r.publish(p, "a/secret", "hidden")
	r.publish(p, "b", "not any more")
	r.publish(p, "a/1", "seen")
	for cursor := a.Offset; ; {
		m, err := v.next()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case m.Type == "suberr" && string(m.ID) == "2":
			continue
		case m.Type != "batch" || string(m.ID) != "1" || m.From != cursor:
			t.Fatalf("%+v, want batches of 1 from %d", m, cursor)
		}
		cursor = m.To
		for _, one := range m.Readings {
			if one.Topic != "a/1" {
				t.Fatalf("delivered %s", one.Topic)
			}
		}
		if len(m.Readings) > 0 {
			return
		}
	}
}
