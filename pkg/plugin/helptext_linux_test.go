// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHelpWidth(t *testing.T) {
	if got := helpWidth(&strings.Builder{}); got != anyHelpWidth {
		t.Errorf("for what is no file it is %d, want %d", got, anyHelpWidth)
	}
	file, err := os.Create(t.TempDir() + "/help")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := helpWidth(file); got != anyHelpWidth {
		t.Errorf("for a file it is %d, want %d", got, anyHelpWidth)
	}
	for columns, want := range map[uint16]int{0: 80, 20: 40, 40: 40, 73: 73, 80: 80, 100: 100, 101: 100, 240: 100} {
		t.Run(strconv.Itoa(int(columns)), func(t *testing.T) {
			if got := helpWidth(terminal(t, columns)); got != want {
				t.Errorf("it is %d, want %d", got, want)
			}
		})
	}
}

// terminal opens a terminal of that many columns.
func terminal(t *testing.T, columns uint16) *os.File {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = pty.Close() })
	fd := int(pty.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return tty
}
