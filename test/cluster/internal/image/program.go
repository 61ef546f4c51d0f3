// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program returns what an image needs to run a program of this machine where it is here: the program and, if it is
// linked dynamically, its loader and libraries.
func Program(ctx context.Context, path string) ([]File, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("program %s: not an absolute path", path)
	}
	files := []File{{path, path}}
	out, err := exec.CommandContext(ctx, "ldd", path).CombinedOutput()
	if strings.Contains(string(out), "not a dynamic executable") {
		return files, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the libraries of %s: %w: %s", path, err, strings.TrimSpace(string(out)))
	}
	libraries, err := parseLdd(string(out))
	if err != nil {
		return nil, fmt.Errorf("listing the libraries of %s: %w", path, err)
	}
	for _, lib := range libraries {
		files = append(files, File{lib, lib})
	}
	return files, nil
}

// Directory returns all files below a directory of this machine, where they are here. A link is the file that it leads to.
func Directory(path string) ([]File, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("directory %s: not an absolute path", path)
	}
	var files []File
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, File{path, path})
		}
		return err
	})
	return files, err
}

// parseLdd reads the paths from ldd's output, which has these kinds of lines:
//
//	linux-vdso.so.1 (0x00007ffd5e9f2000)
//	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0a3c000000)
//	libabsent.so.1 => not found
//	/lib64/ld-linux-x86-64.so.2 (0x00007f0a3c6f1000)
//	statically linked
func parseLdd(out string) ([]string, error) {
	var paths []string
	for line := range strings.Lines(out) {
		library, target, found := strings.Cut(strings.TrimSpace(line), " => ")
		if !found {
			target = library
		}
		if target == "not found" {
			return nil, fmt.Errorf("%s is not installed", library)
		}
		if path, _, _ := strings.Cut(target, " ("); filepath.IsAbs(path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}
