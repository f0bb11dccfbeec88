//go:build !linux

package inventory_test

import "testing"

func needInotify(t *testing.T) { t.Helper(); t.Skip("inotify is Linux's") }

func needUevents(t *testing.T) { t.Helper(); t.Skip("uevents are Linux's") }
