// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const errAddrInUse = syscall.EADDRINUSE

// detached makes a process outlive this one and its terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// unmount takes a mount out of sight at once, even while something still has files open below it.
func unmount(path string) error { return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) }

// inode identifies a namespace by its file.
func inode(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
