package serialline

import (
	"testing"
	"time"
	"unsafe"
)

func TestRS485AsTheKernelTakesIt(t *testing.T) {
	if size := unsafe.Sizeof(kernelRS485{}); size != 32 {
		t.Errorf("struct serial_rs485 has 32 bytes, ours %d", size)
	}
	for _, c := range []struct {
		set   RS485
		flags uint32
	}{{RS485{}, 0b00011}, {RS485{RTSLow: true}, 0b00101}, {RS485{HearOneself: true}, 0b10011}} {
		if got := c.set.kernel().flags; got != c.flags {
			t.Errorf("%+v has flags %05b, want %05b", c.set, got, c.flags)
		}
	}
	if k := (RS485{BeforeSend: 2 * time.Millisecond, AfterSend: 7 * time.Millisecond}).kernel(); k.before != 2 || k.after != 7 {
		t.Errorf("delays are %+v", k)
	}
}
