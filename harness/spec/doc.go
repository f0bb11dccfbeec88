// Package spec joins scenarios, requirements and the test framework: scenarios
// register at init, are bound to a rig later, run as Ginkgo specs and yield a
// reports.Run.
//
// A scenario has two halves. Its Drive touches the live system and judges
// nothing: what it sees is in the records of its benches, or is handed on with
// Trial.Keep. Its Judge sees a Case, which is read back from the run directory,
// and nothing else. So every verdict can be recomputed from that directory, by
// Recompute, and there is only one way to one.
//
// What a run directory holds for that, each file with its format and version:
//
//	config/run.json       Conditions: seed, selection, capabilities, loads, rule
//	config/profile.yaml   the profile, byte for byte; run.json holds its digest
//	facts/<scenario>.json one attempt: times, steps, benches, how it ended, what
//	                      the drive kept; -2, -3 … are repetitions
//	records/<bench>/      records.bin, events.jsonl, index.json (package record)
//	                      and bench.json (harness.Evidence): the rig's own
//	                      instruments, devices, resources, the system
//
// Figures are written with as many digits as it takes to read back the same
// float64; what JSON has no number for is null, "+Inf" or "-Inf" (reports.Float).
//
// Verdicts come from the oracles by way of Case.Judge and from nothing else.
// That a spec is green means only that its drive reached the end; a requirement
// that a scenario promised and did not judge is an ERROR.
//
// Registration is in two phases. Describe and Require collect at init, when no
// rig exists. Bind asks every description for its scenarios; Emit turns those
// into Ginkgo nodes; Execute does both, runs them in this process and composes
// the run. List needs neither a rig nor a system under test.
package spec
