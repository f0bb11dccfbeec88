// Package modbus speaks Modbus RTU as a master (MODBUS over Serial Line V1.02 and
// MODBUS Application Protocol V1.1b3): a Map says which registers of a unit make
// which values, a Master asks for them, and a Slave is the twin of a unit, with
// the faults of real ones.
//
// A Master is told apart what real lines give: answers that come late, twice or
// from another unit, exceptions, silence, noise, and whatever a unit says to a
// broadcast, which nobody may answer.
package modbus
