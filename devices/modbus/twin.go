package modbus

import (
	"encoding/binary"
	"math"

	"plumbline/devices"
)

// NewTwin returns a slave that has all registers of the map, with numbers drawn
// from seed. Next moves them, and returns the slave's answer to a request as Hear
// does: what a rig puts behind a pseudo terminal.
func NewTwin(m Map, seed uint64) (slave *Slave, next func(p []byte) []byte) {
	slave = &Slave{Unit: byte(m.Unit)}
	for _, b := range blocksOf(m) {
		for i := range b.count { // the gaps, too: the master reads over them
			slave.Set(b.kind, uint16(b.first+i), 0)
		}
	}
	turn := uint64(0)
	fill := func() {
		turn++
		for i, r := range m.Registers {
			slave.write(r.withDefaults(), devices.Mix(devices.Mix(seed, uint64(i)), 0)%500+turn%500)
		}
	}
	fill()
	return slave, func(p []byte) []byte {
		answer := slave.Hear(p)
		if answer != nil {
			fill()
		}
		return answer
	}
}

// write puts a number into the registers of r.
func (s *Slave) write(r Register, number uint64) {
	if r.bits() {
		s.Set(r.Kind, uint16(r.Address), uint16(number&1))
		return
	}
	p := make([]byte, 2*r.size())
	switch r.Type {
	case "f32":
		binary.BigEndian.PutUint32(p, math.Float32bits(float32(number)/4))
	case "f64":
		binary.BigEndian.PutUint64(p, math.Float64bits(float64(number)/4))
	case "text":
		for i := range p {
			p[i] = 'A' + byte(number>>(i%8))%26
		}
	case "bit":
		binary.BigEndian.PutUint16(p, uint16(number&1)<<r.Bit)
	default:
		for i := range min(len(p), 8) {
			p[len(p)-1-i] = byte(number >> (8 * i))
		}
	}
	p = r.ordered(p) // each order is its own inverse
	for i := 0; i < len(p); i += 2 {
		s.Set(r.Kind, uint16(r.Address+i/2), binary.BigEndian.Uint16(p[i:]))
	}
}
