// Package tables holds what the stores of history have in common: one number that orders all entries, rollup rows and how they
// merge, and which series a question is about. It knows no database.
package tables
