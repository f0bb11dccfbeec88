package export

import (
	"io"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// batch is how many rows are handed to the library at once.
const batch = 1024

// parquetTable writes rows as Parquet, compressed by zstd.
type parquetTable[Row any] struct {
	w    *parquet.GenericWriter[Row]
	rows []Row
}

func newParquet[Row any](w io.Writer) *parquetTable[Row] {
	return &parquetTable[Row]{w: parquet.NewGenericWriter[Row](w, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("plumbline", "", ""))}
}

// Write appends a row. Its text is made valid UTF-8, as the format wants it, and
// otherwise left as it is.
func (t *parquetTable[Row]) Write(row Row) error {
	v := reflect.ValueOf(&row).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			f.SetString(strings.ToValidUTF8(f.String(), "\uFFFD"))
		}
	}
	if t.rows = append(t.rows, row); len(t.rows) < batch {
		return nil
	}
	return t.flush()
}

func (t *parquetTable[Row]) flush() error {
	_, err := t.w.Write(t.rows)
	t.rows = t.rows[:0]
	return err
}

// Close writes what is still held back and the end of the file.
func (t *parquetTable[Row]) Close() error {
	if err := t.flush(); err != nil {
		return err
	}
	return t.w.Close()
}
