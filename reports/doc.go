// Package reports is the vocabulary of judgement: requirements, verdicts,
// findings, measurements, evidence and the run that holds them.
//
// It knows neither how a figure was measured nor how a run is shown; it uses
// the standard library only and imports no other package of this module.
// Everything here is plain data with a stable JSON form, so that a verdict can
// be read, rendered and sealed years after the run.
package reports
