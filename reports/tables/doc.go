// Package tables lays a run out in tables for spreadsheets and for programs that
// analyse data: a type per table, whose fields are the columns, and a writer of
// CSV. Column names say the unit; the tag "parquet" holds them, so that a writer
// of that format finds the same names.
//
// Times are in UTC. What was not established is an empty cell, or NaN where cells
// are numbers.
package tables
