package serialline

import (
	"errors"
	"fmt"
	"time"
)

// RS485 asks the kernel to switch the driver of a half-duplex line by RTS, in
// the time that only it can keep. Adapters that switch by themselves need none.
// The zero value switches with RTS high while sending and no delays.
type RS485 struct {
	RTSLow      bool          // RTS is low while sending, high otherwise
	BeforeSend  time.Duration // from RTS to the first bit; whole milliseconds, at most 100 ms
	AfterSend   time.Duration // from the last bit to RTS; as above
	HearOneself bool          // keep receiving while sending
}

// errNoRS485 says that the driver of the port has no such setting.
var errNoRS485 = errors.New("no RS-485 setting")

// maxTurnaround is what the kernel takes at most (RS485_MAX_RTS_DELAY of its
// serial_core.c).
const maxTurnaround = 100 * time.Millisecond

// check refuses delays that the kernel would cut.
func (r *RS485) check(port string) error {
	if r == nil {
		return nil
	}
	for _, d := range []time.Duration{r.BeforeSend, r.AfterSend} {
		if d < 0 || d > maxTurnaround || d%time.Millisecond != 0 {
			return fmt.Errorf("serialline: RS-485 delay %v of %q: must be whole milliseconds up to %v", d, port, maxTurnaround)
		}
	}
	return nil
}
