//go:build !windows

package journal

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes the exclusive lock on path and writes this process's id into it. If another holds it, the error is
// ErrInUse and pid the holder's, if it can be read. The kernel drops the lock when its holder dies.
func lockFile(path string) (f *os.File, pid string, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, readPID(f), ErrInUse
		}
		return nil, "", &os.PathError{Op: "lock", Path: path, Err: err}
	}
	if err := writePID(f); err != nil {
		f.Close()
		return nil, "", err
	}
	return f, "", nil
}

// unlock releases the lock. The file stays: removing it would let two processes lock two files of one name.
func unlock(f *os.File) {
	_ = f.Truncate(0)
	_ = f.Close()
}
