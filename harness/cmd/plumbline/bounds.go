package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// number is what a flag with bounds can hold.
type number interface {
	int | int64 | uint64 | float64 | time.Duration
}

// bounded is a flag that takes what lies between two bounds and nothing else, so that no
// value is taken for another one, or for none, in silence. What it holds before anything is
// given, its default, may lie outside.
type bounded[T number] struct {
	to          *T
	least, most T
}

// Bounds that several flags share.
const (
	longest = 30 * 24 * time.Hour // that anything is asked to go on
	leastHz = 0.001               // messages a second
)

// limit defines a flag. usual is its default, least and most what may be given.
func limit[T number](flags *pflag.FlagSet, to *T, name string, usual, least, most T, usage string) {
	*to = usual
	flags.Var(&bounded[T]{to: to, least: least, most: most}, name, usage)
}

// Set takes a value from the command line or the environment; pflag names the flag.
func (b *bounded[T]) Set(text string) error {
	var value T
	var err error
	switch to := any(&value).(type) {
	case *int:
		*to, err = strconv.Atoi(text)
	case *int64:
		*to, err = strconv.ParseInt(text, 10, 64)
	case *uint64:
		*to, err = strconv.ParseUint(text, 10, 64)
	case *float64:
		*to, err = strconv.ParseFloat(text, 64)
	case *time.Duration:
		*to, err = time.ParseDuration(text)
	}
	inside := value >= b.least && value <= b.most // what is not a number is not
	if err != nil || !inside {
		what := map[string]string{"int": "a whole number", "int64": "a whole number", "uint64": "a whole number", "float64": "a number", "duration": "a time such as 1m30s"}[b.Type()]
		if any(b.most) == any(math.Inf(1)) || any(b.most) == any(uint64(math.MaxUint64)) {
			return fmt.Errorf("it takes %s from %v on", what, show(b.least))
		}
		return fmt.Errorf("it takes %s from %v to %v", what, show(b.least), show(b.most))
	}
	*b.to = value
	return nil
}

// String returns the value as the help shows it.
func (b *bounded[T]) String() string {
	if b.to == nil { // pflag asks the zero value
		return ""
	}
	return show(*b.to)
}

func show[T number](value T) string {
	if value == 0 {
		return "0"
	}
	return fmt.Sprint(value)
}

// Type is what pflag calls such a flag.
func (b *bounded[T]) Type() string {
	if _, is := any(b.least).(time.Duration); is {
		return "duration"
	}
	return fmt.Sprintf("%T", b.least)
}
