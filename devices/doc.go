// Package devices is the contract of everything that produces samples: real
// sensors on a serial line, sensors that speak MQTT, the host's own sensors,
// recordings and seeded twins.
//
// A driver stamps what it reads with an injected monotonic clock, checks every
// frame by the check the frame carries, and keeps damaged frames as evidence
// instead of publishing them. It knows neither brokers' internals nor tests.
package devices
