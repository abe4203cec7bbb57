package journal

import (
	"errors"
	"os"
	"syscall"
)

// errorSharingViolation is what Windows answers when another process has the file open without sharing it.
const errorSharingViolation = syscall.Errno(32)

// lockFile opens path without sharing it and writes this process's id into it. If another holds it, the error is ErrInUse;
// the holder's id cannot be read on Windows. The kernel closes the file when its holder dies.
func lockFile(path string) (f *os.File, pid string, err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, "", &os.PathError{Op: "lock", Path: path, Err: err}
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errorSharingViolation) {
		return nil, "", ErrInUse
	}
	if err != nil {
		return nil, "", &os.PathError{Op: "lock", Path: path, Err: err}
	}
	f = os.NewFile(uintptr(h), path)
	if err := writePID(f); err != nil {
		f.Close()
		return nil, "", err
	}
	return f, "", nil
}

// unlock releases the lock.
func unlock(f *os.File) {
	_ = f.Truncate(0)
	_ = f.Close()
}
