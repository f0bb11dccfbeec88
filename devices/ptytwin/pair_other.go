//go:build !linux && !darwin

package ptytwin

// openPair says that there are no ptys here.
func openPair(bool) (pair, error) { return nil, ErrUnsupported }
