package modbus

import (
	"encoding/binary"
	"sync"
)

// Slave is the twin of a unit: it answers requests from tables that the caller
// fills. The zero value answers nothing; set Unit. All methods may be called by
// any goroutine.
type Slave struct {
	Unit byte

	mu     sync.Mutex
	tables map[Kind]map[uint16]uint16 // owned by mu
	heard  []byte                     // bytes of a request that is not whole yet
	seen   int                        // requests for this unit, broadcasts included
}

// Set puts a register, or with 0 or 1 a bit, into a table.
func (s *Slave) Set(kind Kind, address, value uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(kind, address, value)
}

func (s *Slave) set(kind Kind, address, value uint16) {
	if s.tables == nil {
		s.tables = map[Kind]map[uint16]uint16{}
	}
	if s.tables[kind] == nil {
		s.tables[kind] = map[uint16]uint16{}
	}
	s.tables[kind][address] = value
}

// Get returns what is in a table; false when there is no such register.
func (s *Slave) Get(kind Kind, address uint16) (uint16, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.tables[kind][address]
	return value, ok
}

// Requests counts the whole requests that were for this unit.
func (s *Slave) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Hear takes bytes from the line and returns the answer to the request that they
// complete, nil when there is none: not whole, damaged, for another unit, or a
// broadcast, which is obeyed and not answered (Serial Line, 2.1). All requests
// that are understood have eight bytes.
func (s *Slave) Hear(p []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, p...)
	for len(s.heard) >= writeAnswerLength {
		frame := s.heard[:writeAnswerLength]
		if Check(frame) != "" {
			s.heard = s.heard[1:] // find the beginning of the next
			continue
		}
		s.heard = s.heard[writeAnswerLength:]
		if frame[0] != s.Unit && frame[0] != 0 {
			continue
		}
		s.seen++
		answer := s.obey(frame)
		if frame[0] == s.Unit {
			return answer
		}
	}
	return nil
}

// obey carries out a request.
func (s *Slave) obey(frame []byte) []byte {
	function := frame[1]
	address, number := binary.BigEndian.Uint16(frame[2:]), binary.BigEndian.Uint16(frame[4:])
	switch function {
	case readCoils, readDiscretes:
		return s.bits(function, address, number)
	case readHolding, readInput:
		return s.words(function, address, number)
	case writeRegister:
		s.set(Holding, address, number)
		return append([]byte(nil), frame...)
	case writeCoil:
		s.set(Coil, address, number>>15)
		return append([]byte(nil), frame...)
	}
	return Exception(s.Unit, function, 1)
}

// Exception builds the answer of a unit that refuses.
func Exception(unit, function, code byte) []byte {
	return seal([]byte{unit, function | exceptionBit, code})
}

func (s *Slave) words(function byte, address, count uint16) []byte {
	kind := Holding
	if function == readInput {
		kind = Input
	}
	if count == 0 || count > mostRegisters {
		return Exception(s.Unit, function, 3)
	}
	p := []byte{s.Unit, function, byte(2 * count)}
	for i := range count {
		value, ok := s.tables[kind][address+i]
		if !ok {
			return Exception(s.Unit, function, 2)
		}
		p = binary.BigEndian.AppendUint16(p, value)
	}
	return seal(p)
}

func (s *Slave) bits(function byte, address, count uint16) []byte {
	kind := Coil
	if function == readDiscretes {
		kind = Discrete
	}
	if count == 0 || count > mostBits {
		return Exception(s.Unit, function, 3)
	}
	p := append([]byte{s.Unit, function, byte((count + 7) / 8)}, make([]byte, (count+7)/8)...)
	for i := range count {
		value, ok := s.tables[kind][address+i]
		if !ok {
			return Exception(s.Unit, function, 2)
		}
		p[3+i/8] |= byte(value&1) << (i % 8)
	}
	return seal(p)
}
