//go:build !unix

package bench

func readable(string) bool { return true }

func fileLimit() (uint64, bool) { return 0, false }
