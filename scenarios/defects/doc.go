// Package defects breaks a correct bridge on purpose, in one way at a time, and
// asks whether the bench notices: the requirement that a defect is named for must
// say FAIL, and must say PASS under the same conditions without the defect. A
// bench that has not shown this proves nothing by a PASS.
//
// The program flawed stands in front of the real bridge and holds every defect
// as a switch; the program prove runs the scenarios against each and keeps the
// result in record.json, from which the table in the README is made. Numbers of
// defects are those of metrology section 5.
package defects

//go:generate go run ./prove --readme
