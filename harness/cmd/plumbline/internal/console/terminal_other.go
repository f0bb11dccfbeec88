//go:build !unix

package console

import (
	"io"
	"os"
)

// terminal is the window that a block is drawn in. Where there are no job control
// and no signal of its size, all that is known of it is in the style.
type terminal struct{}

func watchTerminal(io.Writer) *terminal { return nil }

func (*terminal) close() {}

func (*terminal) signals() <-chan os.Signal { return nil }

func resumed(os.Signal) bool { return false }

func (*terminal) size(style Style) (width, height int) { return style.Width, style.Height }

func (*terminal) foreground() bool { return true }
