// Package archive reads a store of runs and tells how a system fared over them.
//
// A store is a folder of run directories, each made by one run of the harness and
// recognised by its summary.json. They may lie in folders of their own, down to
// three levels, so that a store can have one folder per system or per month:
//
//	store/20261126T154032Z_ci_63d03959/summary.json
//	store/bridged/20261127T090000Z_bench_0a1b2c3d/summary.json
//
// A directory with events.jsonl and no summary.json is a run that goes on, or one
// that was cut off. Links, such as latest, and names that begin with a dot are
// passed over. Nothing in a store is ever written or followed out of it.
//
// The package believes each summary.json; whether to is for verify and recompute.
// It knows neither how a figure was measured nor how a run was judged, and has no
// clock: the same store gives the same answer.
package archive
