package tables

import "fmt"

// offsetBits is the part of a seq that is the offset: 89 years of 100,000 messages a second. The rest counts 32,767 epochs.
const offsetBits = 48

// Seq joins the number of an epoch (in the order first seen) and an offset, so that one integer orders all entries.
func Seq(epoch int64, offset uint64) (int64, error) {
	if epoch >= 1<<(63-offsetBits) || offset >= 1<<offsetBits {
		return 0, fmt.Errorf("epoch number %d with offset %d is beyond what a store can count", epoch, offset)
	}
	return epoch<<offsetBits | int64(offset), nil
}

// SplitSeq takes a seq apart.
func SplitSeq(seq int64) (epoch int64, offset uint64) {
	return seq >> offsetBits, uint64(seq & (1<<offsetBits - 1))
}
