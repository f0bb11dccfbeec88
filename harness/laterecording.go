package harness

import (
	"context"
	"sync"

	"plumbline/devices"
)

// lateRecording is a recording that begins to play at its first Read, so that
// nothing of it is over before the window opens.
type lateRecording struct {
	info devices.Info
	open func() (devices.Device, error)

	mu     sync.Mutex
	player devices.Device
	closed bool
}

var _ devices.Device = (*lateRecording)(nil)

// Info implements devices.Device.
func (l *lateRecording) Info() devices.Info { return l.info }

// Read implements devices.Device.
func (l *lateRecording) Read(ctx context.Context) (devices.Sample, error) {
	player, err := l.playing(true)
	if err != nil {
		return devices.Sample{}, err
	}
	return player.Read(ctx)
}

func (l *lateRecording) playing(start bool) (devices.Device, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, devices.ErrClosed
	}
	if l.player == nil && start {
		player, err := l.open()
		if err != nil {
			return nil, err
		}
		l.player = player
	}
	return l.player, nil
}

// Counters implements devices.Device.
func (l *lateRecording) Counters() devices.Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.player == nil {
		return devices.Counters{}
	}
	return l.player.Counters()
}

// Damages implements devices.Device.
func (l *lateRecording) Damages() []devices.Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.player == nil {
		return nil
	}
	return l.player.Damages()
}

// Close implements devices.Device.
func (l *lateRecording) Close() error {
	l.mu.Lock()
	l.closed = true
	player := l.player
	l.mu.Unlock()
	if player == nil {
		return nil
	}
	return player.Close()
}
