package codec

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/fxamacker/cbor/v2"
)

// cborMode refuses what a pack cannot hold before it costs memory.
var cborMode = func() cbor.DecMode {
	mode, _ := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 8, MaxArrayElements: maxValues,
		MaxMapPairs: 64, IntDec: cbor.IntDecConvertSignedOrFail}.DecMode() // constants: every test of CBOR would see an error
	return mode
}()

// readCBORPack reads an array of maps with integer or text labels (section 6).
func readCBORPack(p []byte) ([]senRecord, error) {
	if len(p) == 0 || p[0]>>5 != 4 {
		return nil, unchecked("not a CBOR array")
	}
	var pack []map[any]any
	if err := cborMode.Unmarshal(p, &pack); err != nil {
		return nil, damaged("CBOR: %v", err)
	}
	records := make([]senRecord, 0, len(pack))
	for _, m := range pack {
		r := senRecord{}
		for key, value := range m {
			label, err := cborLabel(key)
			if err != nil {
				return nil, err
			}
			number, err := cborNumber(value)
			if err == nil || senLabels[label].kind == 0 {
				err = r.put(label, number)
			}
			if err != nil {
				return nil, err
			}
		}
		records = append(records, r)
	}
	return records, nil
}

func cborLabel(key any) (string, error) {
	switch k := key.(type) {
	case string:
		return k, nil
	case int64:
		for label, l := range senLabels {
			if l.cbor == k {
				return label, nil
			}
		}
		return "", nil // a later extension: nobody needs to understand it
	}
	return "", damaged("a label that is neither text nor whole number")
}

// cborNumber makes float64 of the numbers of CBOR, of which section 6 permits
// decimal fractions, too; what is no number it returns as it is.
func cborNumber(value any) (any, error) {
	switch n := value.(type) {
	case int64:
		return float64(n), nil
	case float32:
		return float64(n), nil
	case cbor.Tag:
		if pair, ok := n.Content.([]any); ok && n.Number == tagDecimal && len(pair) == 2 {
			return fraction(pair[0], pair[1])
		}
	}
	return value, nil
}

// tagDecimal is the tag of a decimal fraction (RFC 8949, 3.4.4).
const tagDecimal = 4

// maxMantissa bounds a mantissa, in bits: more is beyond any float64.
const maxMantissa = 2048

// fraction is mantissa · 10^exponent.
func fraction(exponent, mantissa any) (any, error) {
	e, ok := exponent.(int64)
	if !ok {
		return nested{}, nil
	}
	var digits string
	switch m := mantissa.(type) {
	case int64:
		digits = strconv.FormatInt(m, 10)
	case big.Int:
		if m.BitLen() > maxMantissa {
			return nil, damaged("decimal fraction out of range")
		}
		digits = m.String()
	default:
		return nested{}, nil
	}
	f, err := strconv.ParseFloat(fmt.Sprintf("%se%d", digits, e), 64)
	if err != nil {
		return nil, damaged("decimal fraction out of range")
	}
	return f, nil
}
