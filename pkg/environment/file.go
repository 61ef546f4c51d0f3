// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes variables in a format to a file that only its owner may read. Whoever reads the file sees the old
// one or the new one, whole.
//
// A file that is there is replaced; a symbolic link, a directory, or a device is refused, and so is never written
// through. The error is a [*RefusedError], or names the file.
func WriteFile(path string, format Format, variables []Variable) error {
	text, err := encode(format, variables)
	if err != nil {
		return err
	}
	if err := replaceable(path); err != nil {
		return err
	}
	return replace(path, text)
}

func replaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link, and is not followed", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	default:
		return nil
	}
}

// replace puts a new file, with mode 0600, in the place of one.
func replace(path string, content []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
