package clocks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// most bounds what is read of a file: a week of ten exchanges a second.
const most = 6_048_000

// Write writes exchanges as text, one JSON list of the four stamps in their
// order a line, so that whoever has the file can compute the mapping again.
func Write(w io.Writer, exchanges []Exchange) error {
	out := bufio.NewWriter(w)
	for _, e := range exchanges {
		if _, err := fmt.Fprintf(out, "[%d,%d,%d,%d]\n", e.Sent, e.Got, e.Answered, e.Returned); err != nil {
			return err
		}
	}
	return out.Flush()
}

// Read reads what Write wrote. It is strict: what is no exchange is an error
// that names its line, and so is a line that was cut short.
func Read(r io.Reader) ([]Exchange, error) {
	in := bufio.NewReaderSize(r, 256)
	var all []Exchange
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("clocks: line %d is no exchange: %w", n, err)
		}
		var stamps []int64
		if err := json.Unmarshal(line, &stamps); err != nil || len(stamps) != 4 {
			return all, fmt.Errorf("clocks: line %d is no exchange: %.40q", n, line)
		}
		if n > most {
			return all, fmt.Errorf("clocks: more than %d exchanges", most)
		}
		all = append(all, Exchange{Sent: stamps[0], Got: stamps[1], Answered: stamps[2], Returned: stamps[3]})
	}
}
