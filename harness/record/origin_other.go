//go:build !linux

package record

// Origin returns ErrNoOrigin: here Go reads a clock that no call of the system
// gives to others.
func (c *Clock) Origin() (Origin, error) { return Origin{}, ErrNoOrigin }
