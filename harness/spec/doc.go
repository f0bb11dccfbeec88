// Package spec joins scenarios, requirements and the test framework: scenarios
// register at init, are bound to a rig later, run as Ginkgo specs and yield a
// reports.Run.
//
// Verdicts come from the oracles by way of Trial.Judge and from nothing else.
// That a spec is green means only that its body reached the end; a requirement
// that a scenario promised and did not judge is an ERROR.
//
// Registration is in two phases. Describe and Require collect at init, when no
// rig exists. Bind asks every description for its scenarios; Emit turns those
// into Ginkgo nodes; Execute does both, runs them in this process and composes
// the run. List needs neither a rig nor a system under test.
package spec
