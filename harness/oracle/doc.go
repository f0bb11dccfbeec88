// Package oracle judges recordings: it turns a record.Log into figures and
// findings. It sees records only, never a live system, so that every verdict
// can be computed again from the evidence by anyone.
//
// Latency runs from the intended instant of a message. A message that never
// came counts as infinitely late and as lost. What the witness at the broker
// saw first is not blamed on the bridge, unless the broker is part of the
// system under test.
package oracle
