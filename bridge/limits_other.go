//go:build !unix

package bridge

// CheckLimits has nothing to check on this system: it has no limit of open files that a process could read.
func CheckLimits(Config) []string { return nil }
