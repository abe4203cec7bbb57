// Package faultdisk gives tests disks that are full or cannot be written. It is for Linux, and skips a test where the
// system does not allow what it takes.
package faultdisk

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Small mounts a file system of its own, of a size in MiB, and skips the test where that is not allowed.
func Small(t *testing.T, mib string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+mib+"m"); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// Remount mounts it again with other flags, such as MS_RDONLY; 0 makes it writable.
func Remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""))
}

// Freeze forbids all writing below dir, to files that are open too.
func Freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	const (
		immutable = 0x10
		setFlags  = 0x40086602 // FS_IOC_SETFLAGS
	)
	set := func(flags int) error {
		return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), setFlags, uintptr(unsafe.Pointer(&flags))); errno != 0 {
				return errno
			}
			return nil
		})
	}
	thaw = func() { require.NoError(t, set(0)) }
	if err := set(immutable); err != nil {
		_ = set(0)
		t.Skipf("files cannot be made immutable here: %v", err)
	}
	t.Cleanup(func() { _ = set(0) })
	return thaw
}

// Fill takes all the room that is left.
func Fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	require.NoError(t, err)
	for _, size := range []int{1 << 20, 4096} {
		block := bytes.Repeat([]byte("x"), size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(path)) }
}
