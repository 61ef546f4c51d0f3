// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"time"
)

// epoch is when every file of an image was made, so that images differ only where their contents do.
var epoch = time.Unix(0, 0)

// layer archives the files and the directories above them, sorted, all root's and readable for everybody.
func layer(files []File) ([]byte, error) {
	contents := map[string][]byte{}
	modes := map[string]int64{}
	for _, f := range files {
		if !path.IsAbs(f.Path) {
			return nil, fmt.Errorf("%s: its path in the image, %q, is not absolute", f.Source, f.Path)
		}
		info, err := os.Stat(f.Source)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", f.Source)
		}
		data, err := os.ReadFile(f.Source)
		if err != nil {
			return nil, err
		}
		dst := path.Clean(f.Path)
		if old, ok := contents[dst]; ok && sha256.Sum256(old) != sha256.Sum256(data) {
			return nil, fmt.Errorf("%s: another file is at %s in the image already", f.Source, dst)
		}
		contents[dst] = data
		modes[dst] = 0o644
		if info.Mode()&0o111 != 0 {
			modes[dst] = 0o755
		}
	}

	directories := map[string]bool{}
	for dst := range contents {
		for dir := path.Dir(dst); dir != "/"; dir = path.Dir(dir) {
			if _, ok := contents[dir]; ok {
				return nil, fmt.Errorf("%s in the image would be a file and the directory of %s", dir, dst)
			}
			directories[dir] = true
		}
	}

	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range slices.Sorted(maps.Keys(directories)) {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: 0o755, ModTime: epoch})
		if err != nil {
			return nil, err
		}
	}
	for _, dst := range slices.Sorted(maps.Keys(contents)) {
		data := contents[dst]
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: dst[1:], Mode: modes[dst], Size: int64(len(data)), ModTime: epoch})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}
